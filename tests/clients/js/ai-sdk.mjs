// Calls the model of model.py with the Vercel AI SDK. Usage: node ai-sdk.mjs MODEL_PORT
// Where and how telemetry goes, and the name of the service, is said by the OTEL_ variables of the environment.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { trace } from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { embed, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const provider = createOpenAICompatible({
  name: 'mockai',
  baseURL: `http://127.0.0.1:${process.argv[2]}/v1`,
  apiKey: 'none',
  includeUsage: true,
});
const telemetry = {
  isEnabled: true,
  functionId: 'turn',
  metadata: { sessionId: 'session-1', userId: 'user-1' },
};
const weather = tool({
  description: 'The weather of a city',
  inputSchema: z.object({ city: z.string() }),
  execute: async () => 'sunny',
});

/** A call, a streamed one, one that asks for a tool and is answered, one that fails, and an embedding. */
async function call() {
  const common = { maxRetries: 0, experimental_telemetry: telemetry };
  await generateText({ ...common, model: provider('gpt-test'), prompt: 'hi there' });
  await streamText({ ...common, model: provider('gpt-test'), prompt: 'hi there' }).consumeStream();
  await generateText({
    ...common,
    model: provider('gpt-tool'),
    prompt: 'hi there',
    tools: { weather },
    stopWhen: stepCountIs(2),
  });
  const failed = await generateText({ ...common, model: provider('gpt-err429'), prompt: 'hi there' }).catch((e) => e);
  if (failed.statusCode !== 429) throw new Error(`err429 was answered: ${failed}`);
  await embed({ ...common, model: provider.embeddingModel('embed-test'), value: 'hi there' });
}

const sdk = new NodeSDK();
sdk.start();
await trace.getTracer('clients').startActiveSpan('turn', async (span) => {
  await call();
  span.end();
});
await sdk.shutdown();
