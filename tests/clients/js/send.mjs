// Sends the spans of tests/clients/README.md with the OpenTelemetry exporters of JavaScript. Usage: node send.mjs PORT
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { OTLPTraceExporter as JsonExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtobufExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

const START_S = 1_795_000_000;
const MILLI_NS = 1_000_000;
const at = (seconds, millis) => [START_S + seconds, millis * MILLI_NS];

/** Exports every batch twice, as after a lost answer, and remembers whether each was confirmed. */
class Twice {
  confirmed = 0;
  failures = [];

  constructor(exporter) {
    this.exporter = exporter;
  }

  export(spans, done) {
    this.exporter.export(spans, (first) => {
      this.note(first);
      this.exporter.export(spans, (second) => {
        this.note(second);
        done(second);
      });
    });
  }

  note(result) {
    if (result.code === 0) this.confirmed += 1;
    else this.failures.push(String(result.error));
  }

  forceFlush() {
    return this.exporter.forceFlush();
  }

  shutdown() {
    return this.exporter.shutdown();
  }
}

async function send(url, service, Exporter, compression) {
  const exporter = new Twice(new Exporter({ url, compression, keepAlive: true }));
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': service }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const tracer = provider.getTracer('clients');

  tracer
    .startSpan('chat gpt-test', {
      kind: SpanKind.CLIENT,
      startTime: at(0, 0),
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'gpt-test',
        'gen_ai.response.model': 'gpt-test-2026',
        'gen_ai.response.finish_reasons': ['stop'],
        'gen_ai.usage.input_tokens': 1200,
        'gen_ai.usage.output_tokens': 45,
        'gen_ai.usage.cache_read.input_tokens': 1000,
      },
    })
    .end(at(0, 250));

  const failed = tracer.startSpan('chat gpt-test', {
    kind: SpanKind.CLIENT,
    startTime: at(1, 0),
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-test',
      'error.type': 'rate_limit',
    },
  });
  failed.recordException(new Error('slow down'));
  failed.setStatus({ code: SpanStatusCode.ERROR, message: 'slow down' });
  failed.end(at(1, 30));

  tracer.startSpan('GET /', { startTime: at(0, 0) }).end(at(0, 1));

  await provider.forceFlush();
  await provider.shutdown();
  if (exporter.failures.length > 0 || exporter.confirmed === 0) {
    throw new Error(`${service}: ${exporter.confirmed} exports confirmed, failed: ${exporter.failures}`);
  }
}

const url = `http://127.0.0.1:${process.argv[2]}/v1/traces`;
await send(url, 'js-protobuf', ProtobufExporter, CompressionAlgorithm.NONE);
await send(url, 'js-protobuf-gzip', ProtobufExporter, CompressionAlgorithm.GZIP);
await send(url, 'js-json', JsonExporter, CompressionAlgorithm.NONE);
await send(url, 'js-json-gzip', JsonExporter, CompressionAlgorithm.GZIP);
