import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { RING_SIZE } from '../../hosts/simulator/devices/physical-function';
import { comparisonPage, comparisonTable } from '../../scripts/compare/as-text';
import { comparison, packetsLost, type Comparison } from '../../scripts/compare/comparison';
import { WAY_NAMES, type VmFigures } from '../../scripts/compare/ways';
import { runTypeScript } from '../../tools/typescript/run-typescript';

describe('packets that are lost', () => {
  test('are those that arrive in the blackout, where nothing takes them in', () => {
    for (const way of WAY_NAMES.filter((name) => name !== 'modified'))
      expect(packetsLost(way, 1_500, 10_000)).toBe(15_000);
  });

  test('are fewer by the ring of a held VF', () => {
    expect(packetsLost('modified', 1_500, 10_000)).toBe(15_000 - RING_SIZE);
    expect(packetsLost('modified', 100, 10_000)).toBe(0);
  });
});

const vm = (vmId: string, ms: number, events: number): VmFigures => ({
  vmId,
  blackoutMs: ms,
  vfOutageMs: 10 * ms,
  guestVisibleEvents: events,
  steps: 20,
  identityKept: events === 0,
});
const MEASURED = new Map(
  WAY_NAMES.map((way, index) => [
    way,
    [10, 30, 20].map((ms, of) => vm(`vm-0${of + 1}`, ms * (index + 1), index)),
  ]),
);
const compared = comparison(
  { profile: 'default', timeScale: 1, seed: 7, packetsPerSecond: 1_000 },
  MEASURED,
);

test('medians and the longest are of VMs that were measured; an identity is kept if every VM kept its own', () => {
  expect(compared.ways.map(({ blackoutMs, identityKept }) => [blackoutMs, identityKept])).toEqual([
    [{ median: 20, max: 30 }, true],
    [{ median: 40, max: 60 }, false],
    [{ median: 60, max: 90 }, false],
    [{ median: 80, max: 120 }, false],
  ]);
});

test('table and page have a row for each way, and say what is simulated', () => {
  const page = comparisonPage(compared, 'plot.svg');
  for (const { name } of compared.ways) expect(page).toContain(`| ${name}`);
  for (const text of [page, comparisonTable(compared)]) {
    expect(text).toContain('seed 7, 1000 packets a second');
    expect(text).toContain('Simulated is the host');
  }
  expect(page).toContain('](plot.svg)');
});

test('the script measures all four ways and writes table, page and plot', async () => {
  const out = mkdtempSync(join(tmpdir(), 'holdfast-compare-test-'));
  const script = join(__dirname, '..', '..', 'scripts', 'compare.ts');
  try {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...runTypeScript(script), ...['--vms', '1', '--profile', 'zero', '--out', out, '--json']],
      {
        env: Object.fromEntries(
          Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_')),
        ),
      },
    );
    const { ways } = JSON.parse(stdout) as Comparison;
    expect(ways.map(({ way, identityKept }) => [way, identityKept])).toEqual([
      ['modified', true],
      ['conventional', false],
      ['emulated-path', false],
      ['unplug-replug', false],
    ]);
    const [modified, conventional, ...moved] = ways;
    expect(modified).toMatchObject({ guestVisibleEvents: 0, vms: [{ vmId: 'vm-01' }] });
    expect(modified?.vfOutageMs).toEqual(modified?.blackoutMs);
    for (const way of [conventional, ...moved]) {
      expect(way?.guestVisibleEvents).toBeGreaterThanOrEqual(2);
      expect(way?.vfOutageMs.median).toBeGreaterThan(way?.blackoutMs.median ?? Infinity);
    }
    expect(readFileSync(join(out, 'compare.md'), 'utf8')).toContain('](compare.svg)');
    const svg = readFileSync(join(out, 'compare.svg'), 'utf8');
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/);
    // In words, for who does not see it; and each VM's figures where it points.
    expect(svg).toMatch(/<desc [^>]*>Medians: modified save and restore: blackout [\d.]+ ms/);
    expect(svg.match(/<title>[^<]*, (blackout|VF path outage): /g)).toHaveLength(8);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});
