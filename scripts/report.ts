import {
  closeSync,
  existsSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { CannotReplay, EXIT } from './replay/ended';
import type { Wanted } from './replay/source';
import { uiAddress } from './report/html';
import { GENERATOR, page } from './report/page';
import { readTree } from './report/read-tree';
import { reasonOf } from '../tools/reason';
import { commandLine, runScript, type Shell } from './run-script';

interface Options extends Wanted {
  readonly out?: string;
  readonly uiUrl?: string;
}

const HELP = `
Exit codes: 0 written (whether the run itself failed or not), 2 nothing to report on, or the file cannot be written,
4 the Temporal server does not answer.`;

/** Writes one HTML file that tells a person what a run did to its hosts and VMs. */
export async function main(shell: Shell): Promise<number> {
  const program = commandLine('npm run report --', shell)
    .description(
      'Writes a report on a run and all that it started into one HTML file: hosts, VMs, blackouts, every step.',
    )
    .argument(
      '<bundle | history.json | workflowId>',
      'a file, or the id of a workflow on the server',
    )
    .option('--out <file>', 'the file to write; default: <workflow id>.html')
    .option('--run-id <id>', 'this run of the workflow; default: the latest')
    .option('--workflow-id <id>', 'whose history a file is, where it does not say so itself')
    .option('--ui-url <url>', 'where the server has its UI, for links; default: as in the bundle')
    .addHelpText('after', HELP)
    .parse(shell.args, { from: 'user' });
  const options = program.opts<Options>();
  const uiUrl = options.uiUrl === undefined ? null : givenAddress(options.uiUrl);
  const tree = await readTree(program.args[0] ?? '', options, shell.env);
  const file = options.out ?? `${tree.node.workflowId.replace(/[^\w.-]+/g, '-')}.html`;
  refuseOthers(file);
  const text = await page(tree, uiUrl ?? tree.uiUrl);
  write(file, text);
  shell.stdout.write(`${file}: ${Math.ceil(Buffer.byteLength(text) / 1024)} KB\n`);
  return EXIT.ok;
}

function givenAddress(url: string): string {
  const address = uiAddress(url);
  if (address === null)
    throw new CannotReplay(
      `--ui-url must be an address such as http://localhost:8233, not "${url}".`,
    );
  return address;
}

/** A report may be written over, nothing else. */
function refuseOthers(file: string): void {
  if (!existsSync(file) || beginning(file).includes(GENERATOR)) return;
  throw new CannotReplay(
    `${file} is there already and is no report: name another file with --out.`,
  );
}

function beginning(file: string): string {
  const bytes = Buffer.alloc(1_000);
  try {
    const opened = openSync(file, 'r');
    readSync(opened, bytes, 0, bytes.length, 0);
    closeSync(opened);
  } catch (cause) {
    throw cannotWrite(file, cause);
  }
  return bytes.toString();
}

/** The file appears when it is whole. */
function write(file: string, text: string): void {
  const part = `${file}.part`;
  try {
    writeFileSync(part, text);
    renameSync(part, file);
  } catch (cause) {
    rmSync(part, { force: true });
    throw cannotWrite(file, cause);
  }
}

const cannotWrite = (file: string, cause: unknown) =>
  new CannotReplay(`${file} cannot be written: ${reasonOf(cause)}.`, EXIT.badInput, { cause });

if (require.main === module) runScript('report', main);
