/** An environment variable that the test run sets. */
export function required(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(
      `${name} is not set: run this through jest; a file that needs the server is called *.server.test.ts or *.alone.test.ts`,
    );
  return value;
}
