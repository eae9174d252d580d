// What the suites ask for, in words that every dialect shares.
export const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

export const weather_schema = {
  type: 'object',
  properties: { city: { type: 'string' }, unit: { type: 'string', enum: ['celsius', 'fahrenheit'] } },
  required: ['city'],
  additionalProperties: false,
};
export const time_schema = {
  type: 'object',
  properties: { zone: { type: 'string' } },
  required: ['zone'],
  additionalProperties: false,
};
export const person_schema = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};

// The last request that reached a generating endpoint of the mock, its body parsed.
export async function last_request(mock) {
  const calls = (await mock.requests()).filter(({ method, path }) =>
    method === 'POST' && /\/(chat\/completions|responses|messages)$/.test(path.split('?')[0]));
  const call = calls.at(-1);
  const headers = Object.fromEntries(call.headers.map(([name, value]) => [name.toLowerCase(), value]));
  return { ...call, headers, json: JSON.parse(call.body) };
}
