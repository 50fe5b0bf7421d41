/** docker-compose.yml as its tests see it. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';

export const repository = resolve(__dirname, '../..');
export const read = (path: string): string => readFileSync(join(repository, path), 'utf8');

const service = z.object({
  image: z.string(),
  build: z.string().optional(),
  restart: z.enum(['no', 'unless-stopped']),
  command: z.union([z.string(), z.array(z.string())]).optional(),
  pid: z.string().optional(),
  stop_grace_period: z.string().optional(),
  environment: z.record(z.string(), z.string()).default({}),
  volumes: z.array(z.string()).default([]),
  ports: z.array(z.string()).default([]),
  networks: z.array(z.string()).default(['default']),
  healthcheck: z.object({ test: z.array(z.string()).min(2) }).optional(),
  depends_on: z
    .record(
      z.string(),
      z.object({
        condition: z.enum(['service_started', 'service_healthy', 'service_completed_successfully']),
      }),
    )
    .default({}),
});
export type Service = z.infer<typeof service>;

export const compose = z
  .object({
    services: z.record(z.string(), service),
    volumes: z.record(z.string(), z.unknown()),
    networks: z.record(z.string(), z.unknown()),
  })
  .parse(parse(read('docker-compose.yml'), { merge: true }));

export const services = Object.entries(compose.services);

export function named(name: string): Service {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`);
  return found;
}

export const wordsOf = ({ command = [] }: Service): string[] =>
  typeof command === 'string' ? command.trim().split(/\s+/) : command;

/** What follows an option in the command of a service. */
export function valueOf(name: string, option: string): string {
  const words = wordsOf(named(name));
  const place = words.indexOf(option);
  const value = place < 0 ? undefined : words[place + 1];
  if (value === undefined) throw new Error(`${name} is started without ${option}`);
  return value;
}

/** Every service that has to be there before this one, its own dependencies' included. */
export function before(name: string): string[] {
  return Object.keys(named(name).depends_on).flatMap((earlier) => [earlier, ...before(earlier)]);
}
