"""Calls the model of model.py through an instrumentation. Usage: instrumented.py INSTRUMENTATION OTLP_PORT MODEL_PORT

One of INSTRUMENTATIONS. Whatever it hands to the global providers is exported: traces (with gzip), logs and metrics.
`service.name` is its name, with `-latest` where OTEL_SEMCONV_STABILITY_OPT_IN is set.
"""

import os
import sys

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MESSAGES = [{"role": "user", "content": "hi there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def providers(service, base):
    """The three of them, global from now on."""
    resource = Resource.create({"service.name": service})
    tracing = TracerProvider(resource=resource)
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces", compression=Compression.Gzip)))
    trace.set_tracer_provider(tracing)
    logging = LoggerProvider(resource=resource)
    logging.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{base}/v1/logs")))
    set_logger_provider(logging)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{base}/v1/metrics"), export_interval_millis=3_600_000)
    metering = MeterProvider(resource=resource, metric_readers=[reader])
    metrics.set_meter_provider(metering)
    return tracing, logging, metering


def openai_v2():
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()


def openllmetry():
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()


def anthropic_sdk():
    """Its client makes spans of its own: it is instrumented as it is."""


def openllmetry_anthropic():
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    AnthropicInstrumentor().instrument()


def openinference():
    from openinference.instrumentation.openai import OpenAIInstrumentor

    OpenAIInstrumentor().instrument()


def call_openai(model_port):
    """A call, a streamed one, one that asks for a tool, one that fails, and embeddings."""
    from openai import OpenAI, RateLimitError

    client = OpenAI(base_url=f"http://127.0.0.1:{model_port}/v1", api_key="none", max_retries=0)
    client.chat.completions.create(model="gpt-test", messages=MESSAGES)
    usage = {"include_usage": True}
    list(client.chat.completions.create(model="gpt-test", messages=MESSAGES, stream=True, stream_options=usage))
    client.chat.completions.create(model="gpt-tool", messages=MESSAGES, tools=[TOOL])
    try:
        client.chat.completions.create(model="gpt-err429", messages=MESSAGES)
        sys.exit("err429 was answered")
    except RateLimitError:
        pass
    client.embeddings.create(model="embed-test", input="hi there")


def call_anthropic(model_port):
    """A call, a streamed one, and one that fails."""
    from anthropic import Anthropic, RateLimitError

    client = Anthropic(base_url=f"http://127.0.0.1:{model_port}", api_key="none", max_retries=0)
    client.messages.create(model="claude-test", max_tokens=99, messages=MESSAGES)
    list(client.messages.create(model="claude-test", max_tokens=99, messages=MESSAGES, stream=True))
    try:
        client.messages.create(model="claude-err429", max_tokens=99, messages=MESSAGES)
        sys.exit("err429 was answered")
    except RateLimitError:
        pass


INSTRUMENTATIONS = {
    "openai-v2": (openai_v2, call_openai),
    "openllmetry": (openllmetry, call_openai),
    "anthropic-sdk": (anthropic_sdk, call_anthropic),
    "openllmetry-anthropic": (openllmetry_anthropic, call_anthropic),
    "openinference": (openinference, call_openai),
}


def main():
    name, otlp_port, model_port = sys.argv[1:]
    instrument, call = INSTRUMENTATIONS[name]
    service = name + ("-latest" if os.environ.get("OTEL_SEMCONV_STABILITY_OPT_IN") else "")
    all_providers = providers(service, f"http://127.0.0.1:{otlp_port}")
    instrument()
    with trace.get_tracer("clients").start_as_current_span("turn"):
        call(model_port)
    for provider in all_providers:
        provider.shutdown()


main()
