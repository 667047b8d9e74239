"""Whether docs/monitoring is true: the rules by promtool, and the dashboard's queries, the rules and the scrape configuration by
a Prometheus that scrapes a sidecar with something to tell. Usage: check.py BINARY

One line a check, and the totals. Exit code 1 where anything is not as it says.
"""

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import promql
import traffic
from stack import Failed, Program, Prometheus, Sidecar, Sink, until

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "monitoring"
BLOB = "https://github.com/openclaw-trace/openclaw-trace/blob/main/"

# What not every machine can tell. A query may be empty because of these alone, and only while the sidecar has no sample
# of them.
UNKNOWN_HERE = {
    "openclaw_trace_container_cpu_throttled_seconds_total": "told only under a CPU quota",
    "openclaw_trace_container_cpu_steal_seconds_total": "not in every container",
    "openclaw_trace_container_cpu_pressure_seconds_total": "a kernel without PSI, or cgroup 1",
    "openclaw_trace_container_memory_pressure_seconds_total": "a kernel without PSI, or cgroup 1",
    "openclaw_trace_container_memory_pressure_full_seconds_total": "a kernel without PSI, or cgroup 1",
    "openclaw_trace_container_io_pressure_seconds_total": "a kernel without PSI, or cgroup 1",
    "openclaw_trace_container_io_pressure_full_seconds_total": "a kernel without PSI, or cgroup 1",
    "openclaw_trace_container_io_read_bytes_total": "a cgroup without the io controller",
    "openclaw_trace_container_io_written_bytes_total": "a cgroup without the io controller",
    "openclaw_trace_container_disk_inodes": "a file system without a fixed number of inodes",
    "openclaw_trace_container_disk_inodes_free": "a file system without a fixed number of inodes",
    "openclaw_trace_container_tcp_connections": "left out for a while when reading them took long",
}
# Alerts of a bad day, and what they have come to once it is told: those without `for` fire at once.
EXPECTED = {
    "OpenclawTraceBudgetSpent": "pending",
    "OpenclawTraceCallsFail": "pending",
    "OpenclawTraceCoverageIncomplete": "pending",
    "OpenclawTraceFatalError": "firing",
    "OpenclawTraceSpendRateHigh": "pending",
    "OpenclawTraceUnpricedCalls": "pending",
}
# How the machine of the test fares, nobody knows: alerts of this group are told, and no fault. None of them fires within
# seconds but that of an OOM kill, which the sidecar must have seen then: it stores a fatal error of it.
OF_THE_MACHINE = "openclaw-trace-container"
OOM_KILL, FATAL = "OpenclawTraceOomKill", "OpenclawTraceFatalError"
OOM_KILL_SEEN = "out of memory: the kernel has killed a process"
COLUMNS = 24
CORE_PANELS = {"row", "stat", "timeseries"}
UNITS = {"none", "short", "s", "bytes", "Bps", "percentunit", "currencyUSD"}
# What Grafana puts in the place of its variables, for a run that is seconds old.
GRAFANA = {"$__rate_interval": "1m", "$__interval": "1s", "$__range": "5m", "$job": ".*", "$instance": ".*"}
LABELS_OF_ALL = {"job", "instance", "__name__"}
NOT_FROM_US = {"up": LABELS_OF_ALL, "ALERTS": LABELS_OF_ALL | {"alertname", "alertstate", "severity"}}


class Run:
    """The checks, one after the other. The first that fails in its setting up ends it; the others are all told."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []

    def check(self, name: str, check: Callable[[], str]) -> None:
        try:
            said = check()
        except Failed as why:
            self.failed.append(name)
            print(f"FAILED  {name}: {why}", flush=True)
        else:
            self.passed += 1
            print(f"ok      {name}: {said}", flush=True)


def main(binary: str) -> int:
    run = Run()
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = Path(tempfile.mkdtemp())
    programs: list[Program] = []
    try:
        files(run)
        live(run, binary, work, programs)
    except Failed as why:
        run.failed.append("the run")
        print(f"FAILED  {why}")
    except Exception:
        run.failed.append("the run")
        traceback.print_exc()
    finally:
        for program in reversed(programs):
            program.kill()
        if run.failed:
            for program in programs:
                print(f"--- {program.log.name}\n{program.log.read_text(errors='replace')[-3000:]}", file=sys.stderr)
        shutil.rmtree(work)
    print(f"monitoring: {run.passed} checks ok, {len(run.failed)} failed, {time.monotonic() - began:.0f} s")
    return 1 if run.failed else 0


def files(run: Run) -> None:
    """What needs nothing that runs."""
    run.check("promtool check rules", lambda: promtool("check", "rules", "alerts.yml"))
    run.check("promtool check config", lambda: promtool("check", "config", "prometheus.yml"))
    run.check("promtool test rules", lambda: promtool("test", "rules", "alerts.test.yml"))
    run.check("every alert is fired by a test", every_alert_is_tested)
    run.check("every alert says where to read on", every_runbook_is_there)
    run.check("the dashboard is whole", the_dashboard_is_whole)


def live(run: Run, binary: str, work: Path, programs: list[Program]) -> None:
    """With a sidecar, scraped by a Prometheus."""

    def started(program: Program) -> Any:
        programs.append(program)
        return program

    # An agent that does nothing, until its standard input is closed: with this process.
    agent = started(Program("agent", work, ["cat"]))
    sidecar: Sidecar = started(Sidecar(binary, work, Sink(), agent))
    prometheus: Prometheus = started(Prometheus(work, DOCS, sidecar.address))

    traffic.good(sidecar)
    told(prometheus, traffic.GOOD_CALLS)
    run.check("a good day alerts nobody", lambda: alerts_are(prometheus, sidecar, {}))
    traffic.bad(sidecar)
    told(prometheus, traffic.GOOD_CALLS + traffic.BAD_CALLS)
    scrape = Scrape(sidecar.ask("/metrics")[1])
    run.check("a bad day alerts of what was bad", lambda: alerts_are(prometheus, sidecar, EXPECTED))
    run.check("promtool check metrics", lambda: promtool_check_metrics(scrape))
    run.check("Prometheus has what was posted", lambda: sums_are_right(prometheus))
    run.check("rules can be evaluated", lambda: rules_are_healthy(prometheus))
    run.check("metrics and labels exist", lambda: names_are_known(scrape))
    for name, expr in variables():
        run.check(f"variable {name}", lambda name=name, expr=expr: variable_has_values(prometheus, name, expr))
    empty: list[str] = []
    targets = list(queries())
    for title, expr in targets:
        run.check(title, lambda expr=expr: has_data(prometheus, scrape, expr, empty))
    told_of = f", {len(empty)} empty as this machine cannot tell: {', '.join(sorted(set(empty)))}" if empty else ""
    print(f"        {len(targets)} queries of the dashboard{told_of}")

    run.check("the sidecar stops", lambda: ends_well(sidecar))
    run.check("a sidecar that is gone is missed", lambda: is_missed(prometheus))
    run.check("Prometheus stops", lambda: ends_well(prometheus))


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=DOCS, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode != 0:
        raise Failed(said)
    return " ".join(re.findall(r"SUCCESS: *(.*)", said)).strip() or "passes"


def promtool_check_metrics(scrape: "Scrape") -> str:
    done = subprocess.run(["promtool", "check", "metrics"], input=scrape.text, capture_output=True, text=True)
    # It ends with 0 or 3 where it only has a remark to make.
    if done.stdout or done.stderr or done.returncode != 0:
        raise Failed(done.stdout + done.stderr)
    return f"silent about {len(scrape.families)} families"


def every_alert_is_tested() -> str:
    names = {name for name, _ in rules()}
    tested = set(re.findall(r'alertname="(\w+)"', (DOCS / "alerts.test.yml").read_text()))
    if names != tested:
        raise Failed(f"not tested: {names - tested}; no rule: {tested - names}")
    return f"{len(names)} alerts"


def every_runbook_is_there() -> str:
    links = re.findall(r"runbook_url: (\S+)", (DOCS / "alerts.yml").read_text())
    if len(links) != len(list(rules())):
        raise Failed(f"{len(links)} links for {len(list(rules()))} alerts")
    for link in links:
        page, _, place = link.removeprefix(BLOB).partition("#")
        lines = (ROOT / page).read_text().splitlines() if (ROOT / page).is_file() else []
        if place not in {anchor(line) for line in lines if line.startswith("#")}:
            raise Failed(f"leads nowhere: {link}")
    return f"{len(links)} links, {len(set(links))} places"


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")


def the_dashboard_is_whole() -> str:
    dashboard = json.loads((DOCS / "dashboard.json").read_text())
    panels = dashboard["panels"]
    faults = []
    if "__inputs" in dashboard or dashboard.get("id") or not dashboard["uid"]:
        faults.append("provisioning needs a uid, and neither an id nor __inputs")
    taken: dict[tuple[int, int], int] = {}
    for panel in panels:
        title, grid = panel["title"], panel["gridPos"]
        columns, lines = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        for cell in ((x, y) for x in columns for y in lines):
            other = taken.setdefault(cell, panel["id"])
            if cell[0] >= COLUMNS or other != panel["id"]:
                faults.append(f"{title} lies on panel {other}, or beyond the edge")
                break
        if panel["type"] not in CORE_PANELS:
            faults.append(f"{title}: {panel['type']} is none of {sorted(CORE_PANELS)}")
        if panel["type"] == "row":
            continue
        if panel["fieldConfig"]["defaults"].get("unit") not in UNITS:
            faults.append(f"{title} has no unit")
        for part in (panel, *panel["targets"]):
            if part["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
                faults.append(f"{title} has a data source of its own")
        if not panel["targets"] or not all(target["legendFormat"] for target in panel["targets"]):
            faults.append(f"{title} has no legend")
        # Each selector goes by the variables, or a dashboard of one agent shows others.
        for target in panel["targets"]:
            for name in promql.metrics(target["expr"]):
                if not re.search(rf'\b{name}\{{job=~"\$job", instance=~"\$instance"[,}}]', target["expr"]):
                    faults.append(f"{title}: {name} of all jobs and instances")
    if len({panel["id"] for panel in panels}) != len(panels):
        faults.append("two panels have one id")
    if faults:
        raise Failed("; ".join(faults))
    return f"{len(panels)} panels"


def told(prometheus: Prometheus, calls: int) -> None:
    """Waits until Prometheus has all calls and pushes, three scrapes more, and has evaluated every rule on them."""

    def all_there() -> bool:
        stored = prometheus.values("sum(openclaw_trace_llm_calls_total)")
        pushed = prometheus.values("openclaw_trace_push_rows_total > 0 and openclaw_trace_push_last_failure_timestamp_seconds")
        return stored == [calls] and bool(pushed)

    until(f"Prometheus has {calls} calls", all_there)
    newest = "timestamp(openclaw_trace_build_info)"
    first = until("a scrape", lambda: prometheus.values(newest))[0]
    until("three scrapes", lambda: prometheus.values(f"{newest} > {first + 2.5}"))
    until("rules are evaluated on them", lambda: prometheus.rules_after(first + 2.5))


def alerts_are(prometheus: Prometheus, sidecar: Sidecar, wanted: dict[str, str]) -> str:
    groups = prometheus.get("rules")["groups"]
    of_machine = {rule["name"] for group in groups if group["name"] == OF_THE_MACHINE for rule in group["rules"]}
    alerts = prometheus.get("alerts")["alerts"]
    found = {alert["labels"]["alertname"]: alert["state"] for alert in alerts}
    seen = OOM_KILL_SEEN in sidecar.log.read_text(errors="replace")
    of_machine = (of_machine | {FATAL} if seen else of_machine - {OOM_KILL}) - wanted.keys()
    firing = [name for name in of_machine - {OOM_KILL, FATAL} if found.get(name) == "firing"]
    ours = {name: state for name, state in found.items() if name not in of_machine}
    if ours != wanted or firing:
        raise Failed(f"expected {wanted}, found {found}")
    for alert in alerts:
        for text in alert["annotations"].values():
            if "<error" in text or "<no value>" in text or "{{" in text:
                raise Failed(f"annotation of {alert['labels']['alertname']}: {text}")
    of_container = sorted(f"{name} {found[name]}" for name in of_machine & found.keys())
    said = ", ".join(f"{name.removeprefix('OpenclawTrace')} {state}" for name, state in sorted(ours.items())) or "none"
    return said + (f" (and of the machine of this test: {', '.join(of_container)})" if of_container else "")


def sums_are_right(prometheus: Prometheus) -> str:
    spent = traffic.GOOD_USD + traffic.BAD_USD
    wanted = {
        'sum(openclaw_trace_llm_calls_total{status="timeout"})': 4,
        'sum(openclaw_trace_llm_cost_usd_total{provider="anthropic"})': spent,
        'sum(openclaw_trace_llm_unpriced_calls_total{model="my-own-model"})': 4,
        'openclaw_trace_error_events_total{severity="fatal", component="agent"}': 1,
        'openclaw_trace_coverage_ratio{what="tokens"}': 0.1,
        "openclaw_trace_events_duplicate_total": 1,
        "openclaw_trace_events_invalid_total": 1,
        "openclaw_trace_push_failures_total": 1,
        "openclaw_trace_agent_up": 1,
        "sum(openclaw_trace_openclaw_log_skipped_total)": 2,
        # What every event became, the law of /health: but for two events that are on their way.
        "openclaw_trace_events_offered_total - openclaw_trace_events_stored_total - openclaw_trace_events_duplicate_total"
        " - openclaw_trace_events_invalid_total - openclaw_trace_events_ignored_total - openclaw_trace_events_in_flight"
        " - sum without (reason) (openclaw_trace_events_refused_total)": 0,
    }
    for query, value in wanted.items():
        found = prometheus.values(query)
        if len(found) != 1 or not math.isclose(found[0], value, rel_tol=1e-9):
            raise Failed(f"expected {value}, found {found}: {query}")
    return f"{len(wanted)} sums"


def rules_are_healthy(prometheus: Prometheus) -> str:
    found = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    ill = [f"{rule['name']}: {rule.get('lastError')}" for rule in found if rule["health"] != "ok"]
    if ill or len(found) != len(list(rules())):
        raise Failed(f"{len(found)} rules; {ill}")
    return f"{len(found)} rules"


def names_are_known(scrape: "Scrape") -> str:
    labels = scrape.labels_by_family()
    faults, used = [], set()
    for place, expr in [*rules(), *queries(), *variables(), *annotations()]:
        for name in promql.metrics(expr):
            family = scrape.family_of(name)
            used.add(family)
            if family not in labels:
                faults.append(f"{place}: no metric is called {name}")
        for name, label in promql.matched(expr):
            of_bucket = {"le"} if name.endswith("_bucket") else set()
            if label not in labels.get(scrape.family_of(name), set()) | LABELS_OF_ALL | of_bucket:
                faults.append(f"{place}: {name} has no label {label}")
        for label in promql.grouped(expr) - set().union(*labels.values()) - LABELS_OF_ALL - {"le"}:
            faults.append(f"{place}: no metric has a label {label}")
    if faults:
        raise Failed("; ".join(sorted(set(faults))))
    return f"{len(used)} of {len(scrape.families)} families are used"


def variable_has_values(prometheus: Prometheus, name: str, selector: str) -> str:
    # The way that Grafana asks, by `label_values(selector, name)`.
    found = prometheus.get(f"label/{name}/values", **{"match[]": selector})
    if not found:
        raise Failed(f"no values: {selector}")
    return ", ".join(found)


def has_data(prometheus: Prometheus, scrape: "Scrape", expr: str, empty: list[str]) -> str:
    values = prometheus.values(expr)
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        return f"{len(finite)} series"
    silent = {scrape.family_of(name) for name in promql.metrics(expr)} & UNKNOWN_HERE.keys() - scrape.sampled
    if values or not silent:
        raise Failed(f"{'only NaN' if values else 'no data'}: {expr}")
    empty.extend(silent)
    return "empty here: " + ", ".join(sorted({UNKNOWN_HERE[name] for name in silent}))


def ends_well(program: Program) -> str:
    code = program.stop()
    if code != 0:
        raise Failed(f"exit code {code}")
    return "exit code 0"


def is_missed(prometheus: Prometheus) -> str:
    until("OpenclawTraceDown is pending", lambda: prometheus.alerts().get("OpenclawTraceDown") == "pending")
    return "OpenclawTraceDown pending"


def rules() -> Iterator[tuple[str, str]]:
    """Name and expression of every alert. The file is YAML of a plain kind, which needs no reader of YAML."""
    text = (DOCS / "alerts.yml").read_text()
    for part in text.split("- alert: ")[1:]:
        name, rest = part.split("\n", 1)
        expr = re.search(r"^        expr: (.*?)(?=^        for:)", rest, re.M | re.S)
        if not expr:
            raise Failed(f"{name} has no expr, or no for")
        yield name, re.sub(r"^\|\n", "", expr.group(1)).strip().strip("'")


def queries() -> Iterator[tuple[str, str]]:
    """Every query of every panel, its variables filled in as Grafana does."""
    dashboard = json.loads((DOCS / "dashboard.json").read_text())
    row = ""
    for panel in dashboard["panels"]:
        row = panel["title"] if panel["type"] == "row" else row
        for target in panel.get("targets", []):
            yield f"{row} / {panel['title']} / {target['refId']}", filled(target["expr"])


def annotations() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((DOCS / "dashboard.json").read_text())
    for annotation in dashboard["annotations"]["list"]:
        yield f"annotation {annotation['name']}", filled(annotation["expr"])


def variables() -> Iterator[tuple[str, str]]:
    """The label of every variable that is one of Prometheus, and the series it is taken of."""
    dashboard = json.loads((DOCS / "dashboard.json").read_text())
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            if not asked or asked.group(2) != variable["name"]:
                raise Failed(f"variable {variable['name']}: {variable['query']}")
            yield asked.group(2), filled(asked.group(1))


def filled(expr: str) -> str:
    for name, value in GRAFANA.items():
        expr = expr.replace(name, value)
    if "$" in expr:
        raise Failed(f"a variable that nobody knows: {expr}")
    return expr


class Scrape:
    """What /metrics answered, and what docs/metrics.md says of it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = set(re.findall(r"^# HELP (\S+)", text, re.M))
        self.samples = re.findall(r"^([a-z_0-9]+)(?:\{(.*)\})? \S+$", text, re.M)
        self.sampled = {self.family_of(name) for name, _ in self.samples}

    def family_of(self, name: str) -> str:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        return base if name not in self.families and base in self.families else name

    def labels_by_family(self) -> dict[str, set[str]]:
        labels = {family: set() for family in self.families} | NOT_FROM_US
        for name, text in self.samples:
            labels[self.family_of(name)] |= set(re.findall(r'(\w+)="', text))
        documented = (ROOT / "docs" / "metrics.md").read_text()
        for family, cell in re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", documented, re.M):
            labels.setdefault(family, set()).update(re.findall(r"`(\w+)`", cell))
        return labels


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
