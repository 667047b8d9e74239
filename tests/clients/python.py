"""Sends the spans of tests/clients/README.md with the OpenTelemetry exporter of Python. Usage: python.py PORT"""

import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

START_NS = 1_795_000_000_000_000_000
MILLI_NS = 1_000_000


class Twice(OTLPSpanExporter):
    """Exports every batch twice, as after a lost answer, and remembers whether each was confirmed."""

    confirmed = 0
    failed = 0

    def export(self, spans):
        for _ in range(2):
            result = super().export(spans)
            if result is SpanExportResult.SUCCESS:
                self.confirmed += 1
            else:
                self.failed += 1
        return result


def send(endpoint, service, compression):
    exporter = Twice(endpoint=endpoint, compression=compression)
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("clients")

    answered = tracer.start_span(
        "chat gpt-test",
        kind=SpanKind.CLIENT,
        start_time=START_NS,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-test",
            "gen_ai.response.model": "gpt-test-2026",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 1200,
            "gen_ai.usage.output_tokens": 45,
            "gen_ai.usage.cache_read.input_tokens": 1000,
        },
    )
    answered.end(end_time=START_NS + 250 * MILLI_NS)

    failed = tracer.start_span(
        "chat gpt-test",
        kind=SpanKind.CLIENT,
        start_time=START_NS + 1000 * MILLI_NS,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-test",
            "error.type": "rate_limit",
        },
    )
    failed.record_exception(RuntimeError("slow down"))
    failed.set_status(Status(StatusCode.ERROR, "slow down"))
    failed.end(end_time=START_NS + 1030 * MILLI_NS)

    tracer.start_span("GET /", start_time=START_NS).end(end_time=START_NS + MILLI_NS)

    provider.shutdown()
    if exporter.failed or not exporter.confirmed:
        sys.exit(f"{service}: {exporter.confirmed} exports confirmed, {exporter.failed} failed")


def main():
    endpoint = f"http://127.0.0.1:{sys.argv[1]}/v1/traces"
    send(endpoint, "python-protobuf", Compression.NoCompression)
    send(endpoint, "python-protobuf-gzip", Compression.Gzip)


main()
