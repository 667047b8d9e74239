//! The texts of /proc/PID. Pure.

use super::proc::count;

/// What is read of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) name: Name,
    pub(super) zombie: bool,
    /// A thread of the kernel, which is shown as a process.
    pub(super) kernel: bool,
    pub(super) threads: i64,
    /// CPU that it, and those of its children that it has waited for, have used, in ticks of [`TICK_US`].
    pub(super) cpu_ticks: Option<i64>,
    /// When it started, in ticks since the start of the machine. With the pid, who it is.
    pub(super) start_ticks: Option<i64>,
    /// Memory that is in RAM, in pages.
    pub(super) rss_pages: Option<i64>,
}

/// A process's name, which the kernel cuts to 15 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    len: u8,
}

/// TASK_COMM_LEN of the kernel, less the zero at the end.
pub(super) const NAME_BYTES_MAX: usize = 15;
/// PF_KTHREAD of the kernel.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// The kernel's unit of CPU time in /proc: USER_HZ is 100 on every platform that Linux has left.
pub(super) const TICK_US: i64 = 10_000;

impl Name {
    /// The first bytes of a text, as many whole characters as fit.
    pub(super) fn of(text: &str) -> Name {
        let text = &text[..text.floor_char_boundary(NAME_BYTES_MAX)];
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Name { bytes, len: text.len() as u8 }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len.into()]).unwrap_or_else(|_| unreachable!("cut between characters"))
    }
}

impl Process {
    /// Reads /proc/PID/stat. A process may have called itself anything, also `) Z 1`: its name ends at the last bracket.
    pub(super) fn read(text: &str) -> Option<Process> {
        let (before, rest) = text.rsplit_once(')')?;
        let (pid, name) = before.split_once(" (")?;
        // Numbers of fields as in proc(5), where the state is the third.
        let mut fields = Fields { rest: rest.split_ascii_whitespace(), next: 3 };
        let zombie = matches!(fields.number(3)?, "Z" | "X");
        let parent = fields.number(4)?.parse().ok()?;
        let kernel = fields.number(9)?.parse().is_ok_and(|flags: u32| flags & KERNEL_THREAD != 0);
        let mut cpu_ticks = Some(0i64);
        for field in 14..=17 {
            // The times of children may not be known, and are below zero on old kernels; then nothing is.
            let ticks = fields.number(field).and_then(count);
            cpu_ticks = cpu_ticks.zip(ticks).and_then(|(sum, ticks)| sum.checked_add(ticks));
        }
        let threads: u32 = fields.number(20)?.parse().ok()?;
        let start_ticks = fields.number(22).and_then(count);
        let rss_pages = fields.number(24).and_then(count);
        let threads = threads.into();
        let (pid, name) = (pid.parse().ok()?, Name::of(name));
        Some(Process { pid, parent, name, zombie, kernel, threads, cpu_ticks, start_ticks, rss_pages })
    }
}

/// Fields of /proc/PID/stat, forwards only.
struct Fields<'a> {
    rest: std::str::SplitAsciiWhitespace<'a>,
    next: usize,
}

impl<'a> Fields<'a> {
    fn number(&mut self, field: usize) -> Option<&'a str> {
        let skipped = field.checked_sub(self.next)?;
        self.next = field + 1;
        self.rest.nth(skipped)
    }
}

/// Reads /proc/PID/status: how many CPUs it may run on (`Cpus_allowed_list:  0-3,7`), whoever said so.
pub(super) fn cpus_allowed(text: &str) -> Option<f64> {
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    let cpus = list.split(',').try_fold(0i64, |sum, part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (count(first)?, count(last)?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1).filter(|cpus| *cpus > 0)?)
    })?;
    Some(cpus as f64)
}

/// Programs whose first argument is the program that a person means.
const INTERPRETERS: [&str; 9] = ["node", "nodejs", "bun", "deno", "python", "python3", "ruby", "perl", "tsx"];
/// What a script's name may end in and still be called without.
const SCRIPT_ENDINGS: [&str; 6] = [".js", ".mjs", ".cjs", ".ts", ".py", ".rb"];

/// Whether a person who says `wanted` may mean this process: by its name, by its program, or by the script that it
/// interprets (`node --opt /usr/lib/openclaw.mjs` is openclaw). `cmdline` is /proc/PID/cmdline: arguments, each with a
/// zero at the end; a process may also write one text there, without zeros.
pub(super) fn is_called(wanted: &str, name: &Name, cmdline: &str) -> bool {
    if !wanted.is_empty() && *name == Name::of(wanted) {
        return true;
    }
    let mut words = cmdline.split('\0').filter(|word| !word.is_empty());
    let Some(program) = words.next().map(base) else { return false };
    let mut script = || words.find(|word| !word.starts_with('-')).map(base);
    if program == wanted {
        return true;
    }
    INTERPRETERS.contains(&program) && script().is_some_and(|script| script == wanted || stem(script) == wanted)
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn stem(script: &str) -> &str {
    SCRIPT_ENDINGS.iter().find_map(|ending| script.strip_suffix(ending)).unwrap_or(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "5 1 1 0 -1 4 0 0 0 0 30 20 7 3 20 0 7 0 254 31000 900 18446744073709551615";

    #[test]
    fn a_process_cannot_forge_its_state_by_its_name() {
        let process_named = |name: &str, state: &str| Process::read(&format!("42 ({name}) {state} {REST}"));
        let node = Process {
            pid: 42,
            parent: 5,
            name: Name::of("node"),
            zombie: false,
            kernel: false,
            threads: 7,
            cpu_ticks: Some(60),
            start_ticks: Some(254),
            rss_pages: Some(900),
        };
        assert_eq!(process_named("node", "S"), Some(node));
        assert_eq!(process_named("node", "Z"), Some(Process { zombie: true, ..node }));
        assert_eq!(process_named("a) Z 1 (b", "R"), Some(Process { name: Name::of("a) Z 1 (b"), ..node }));
        let of_kernel = Process::read(&format!("2 (kthreadd) S {}", REST.replace("-1 4 ", "-1 2129984 "))).unwrap();
        assert!(of_kernel.kernel);
        assert_eq!(Process::read("42 (x) S 1 2"), None);
        assert_eq!(Process::read(""), None);
    }

    #[test]
    fn a_figure_that_is_not_there_is_none_and_the_rest_is_read() {
        let process = Process::read("42 (x) S 5 1 1 0 -1 4 0 0 0 0 30 20 -1 3 20 0 7").unwrap();
        assert_eq!((process.cpu_ticks, process.start_ticks, process.rss_pages, process.threads), (None, None, None, 7));
    }

    #[test]
    fn cpus_that_are_allowed_are_counted() {
        let of = |list: &str| cpus_allowed(&format!("Threads:\t1\nCpus_allowed:\tff\nCpus_allowed_list:\t{list}\n"));
        assert_eq!(["0", "0-3", "0-3,7", "2,4-5,63"].map(of), [1.0, 4.0, 5.0, 4.0].map(Some));
        for list in ["", "-1", "3-1", "x", "0-", "0,,1", "0-9223372036854775807"] {
            assert_eq!(of(list), None, "{list}");
        }
        assert_eq!(cpus_allowed(""), None);
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(Name::of("0123456789abcdéf").as_str(), "0123456789abcd");
        assert_eq!(Name::of("").as_str(), "");
    }

    #[test]
    fn an_agent_is_known_by_its_name_its_program_or_its_script() {
        let called = |wanted, name: &str, cmdline| is_called(wanted, &Name::of(name), cmdline);
        for (name, cmdline) in [
            ("openclaw", ""),
            ("MainThread", "/usr/bin/openclaw\0gateway\0"),
            ("node", "node\0--max-old-space-size=512\0/usr/lib/node_modules/openclaw/openclaw.mjs\0gateway\0"),
            ("node", "/usr/bin/node\0/usr/local/bin/openclaw\0"),
        ] {
            assert!(called("openclaw", name, cmdline), "{name} {cmdline}");
        }
        for (name, cmdline) in [
            ("tini", "tini\0--\0openclaw\0gateway\0"),
            ("openclaw-trace", "/bin/openclaw-trace\0run\0--\0openclaw\0"),
            ("node", "node\0-e\0console.log('openclaw')\0"),
            ("node", "node\0/openclaw/index.js\0"),
            ("vi", "vi\0openclaw\0"),
            ("node", ""),
        ] {
            assert!(!called("openclaw", name, cmdline), "{name} {cmdline}");
        }
        assert!(called("a-name-of-more-than-15", "a-name-of-more-", ""));
        assert!(!called("", "", ""));
    }
}
