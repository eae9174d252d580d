// How the scripted provider is told what to do: by words in the prompt for answers, by POST /_mock/behavior for faults.
export const call_weather = '[[tool:get_weather {"city":"Oslo"}]]';
export const call_both = `${call_weather} [[tool:get_time {"zone":"UTC"}]]`;

const next = (mock, step, count) => mock.behave({ steps: [{ ...step, count }] });
// The next `count` calls are answered with this status and, where no body is given, an error in the vendor's shape.
export const status = (mock, code, { count = 1, ...rest } = {}) => next(mock, { behavior: 'status', status: code, ...rest }, count);
export const hang = (mock, count = 1) => next(mock, { behavior: 'hang' }, count);
export const reset = (mock, count = 1) => next(mock, { behavior: 'reset' }, count);
export const delay = (mock, delay_ms, count = 1) => next(mock, { behavior: 'delay', delay_ms }, count);
// After so many events of a stream: silence with the connection open, or the connection's end.
export const stall = (mock, after_events, count = 1) => next(mock, { behavior: 'stall', after_events }, count);
export const cut = (mock, after_events, count = 1) => next(mock, { behavior: 'cut', after_events }, count);

// Asks again and again, each time a round trip, so that no timer is needed.
export async function until(what, holds) {
  for (const end = Date.now() + 10_000; Date.now() < end;) {
    if (await holds()) return;
  }
  throw new Error(`${what} did not happen`);
}
export const arrived = (mock, count) => until(`${count} requests`, async () => (await mock.requests()).length >= count);
// Runs `act`; then the gateway must have closed a connection whose reply was not complete.
export async function aborting(mock, act) {
  const before = (await mock.state()).aborted;
  await act();
  await until('an abort', async () => (await mock.state()).aborted > before);
}
