/** Checks the commands of shell blocks that can't be run: the parts that depend on this project must exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommanderError, type Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { createProgram } from '../../src/cli/program.ts';
import { SETTINGS } from '../../src/config/settings.ts';

/** One command of a script. */
interface ShellCommand {
  readonly variables: readonly string[];
  readonly words: readonly string[];
}

/** Splits a script of simple commands: quotes, comments, lists, pipes and loops, but no substitutions. */
export function commandsOf(script: string): ShellCommand[] {
  const commands: ShellCommand[] = [];
  for (const list of wordsOf(script)) {
    const words = list.filter((word) => !/^(?:do|done)$/.test(word));
    if (words.length === 0 || words[0] === 'for') continue;
    const first = words.findIndex((word) => !/^\w+=/.test(word));
    const assigned = first === -1 ? words : words.slice(0, first);
    const isExport = words[first] === 'export';
    const rest = first === -1 || isExport ? [] : words.slice(first);
    const variables = [...assigned, ...(isExport ? words.slice(first + 1) : [])];
    commands.push({ variables: variables.map((each) => each.split('=')[0]!), words: rest });
  }
  return commands;
}

function wordsOf(script: string): string[][] {
  const lists: string[][] = [[]];
  let word: string | null = null;
  const end = () => {
    if (word !== null) lists.at(-1)!.push(word);
    word = null;
  };
  const token = /\\\n|\\(.)|'([^']*)'|"([^"]*)"|(&&|\|\||[;|\n])|([ \t]+)|(#[^\n]*)|([^])/g;
  for (const [all, escaped, single, double, operator, space, comment, other] of script.matchAll(
    token,
  )) {
    if (all === '\\\n') continue;
    if (operator !== undefined) {
      end();
      lists.push([]);
    } else if (space !== undefined || (comment !== undefined && word === null)) {
      end();
    } else {
      word = (word ?? '') + (escaped ?? single ?? double ?? comment ?? other);
    }
  }
  end();
  return lists;
}

/** Other variables than settings that a page may set. */
const VARIABLES = new Set(['POSTGRES']);

/** Returns what is wrong with the commands of a script; `scripts` are those of `npm run`. */
export function problemsOf(script: string, scripts: ReadonlySet<string>): string[] {
  const built = new Set<string>();
  return commandsOf(script).flatMap(({ variables, words }) => [
    ...variables
      .filter((name) => !Object.hasOwn(SETTINGS, name) && !VARIABLES.has(name))
      .map((name) => `${name} is not a setting`),
    ...problemsOfCommand(words, scripts, built),
  ]);
}

type Words = readonly string[];

function problemsOfCommand(words: Words, scripts: ReadonlySet<string>, built: Set<string>) {
  const [program, verb, ...more] = words;
  const own = ownArguments(words);
  if (own !== null) {
    const inPod =
      program === 'kubectl' ? problemsOfKubectl(words.slice(0, words.indexOf('--'))) : [];
    return [...inPod, ...problemsOfOwn(own)];
  }
  switch (program) {
    case undefined:
    case 'cd':
    case 'curl':
    case 'pg_dump':
    case 'pg_restore':
      return [];
    case 'npm':
      if (verb === 'ci' || verb === 'install') return [];
      return scripts.has(verb === 'run' ? more[0]! : verb!)
        ? []
        : [`no script: ${words.join(' ')}`];
    case 'npx':
      if (verb !== 'vitest') return [`unknown: ${words.join(' ')}`];
      return missing(more.filter((word) => word.startsWith('test/')));
    case 'docker':
      return problemsOfBuild(words, built);
    case 'kind':
      return more.slice(1).flatMap((image) => (built.has(image) ? [] : [`not built: ${image}`]));
    case 'kn':
      return missing(valuesOf(words, '--filename'));
    case 'kubectl':
      return problemsOfKubectl(words);
    default:
      return [`unknown: ${words.join(' ')}`];
  }
}

/** The arguments of `muster` in a command, however it is started; null if the command is another one. */
function ownArguments(words: Words): Words | null {
  const starts = [
    ['muster'],
    ['npx', 'muster'],
    ['node', 'muster.js'],
    ['npx', '--yes', '--package', '$MUSTERJS', 'muster'],
  ];
  const inPod = words[0] === 'kubectl' ? words.slice(words.indexOf('--') + 1) : words;
  const start = starts.find((each) => each.every((word, i) => inPod[i] === word));
  return start === undefined ? null : inPod.slice(start.length);
}

/** Parses arguments as `muster` does, without running the command. */
export function problemsOfOwn(given: Words): string[] {
  const program = createProgram();
  disarm(program);
  try {
    program.parse([...given], { from: 'user' });
    return [];
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return [`muster ${given.join(' ')}: ${error.message}`];
  }
}

function disarm(command: Command): void {
  command.exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
  if (command.commands.length === 0) command.action(() => {});
  for (const each of command.commands) disarm(each);
}

/** Returns the command that these words name, with its options; null if there is none. */
export function namedCommand(words: Words): Command | null {
  let command: Command | undefined = createProgram();
  for (const word of words) {
    const next: Command | undefined = command.commands.find((each) => each.name() === word);
    if (next === undefined) break;
    command = next;
  }
  return command.parent === null ? null : command;
}

function problemsOfBuild(words: Words, built: Set<string>): string[] {
  if (words[1] !== 'build') return [`unknown: ${words.join(' ')}`];
  for (const tag of valuesOf(words, '--tag')) built.add(tag);
  return missing([join(words.at(-1)!, 'Dockerfile')]);
}

function problemsOfKubectl(words: Words): string[] {
  const files = ['-f', '--filename'].flatMap((flag) => valuesOf(words, flag));
  const own = files.filter((file) => !file.startsWith('https://'));
  const folders = valuesOf(words, '-k').filter((folder) => !folder.startsWith('<'));
  const named = words.flatMap((word, i) => {
    const [, kind, name] =
      /^(deploy|deployment|service|scaledobject|job)\/([\w-]+)$/.exec(word) ?? [];
    if (kind !== undefined) return [[kind, name!] as const];
    const next = words[i + 1];
    const isKind = /^(?:deployment|service|scaledobject|job|kafkasource)$/.test(word);
    return isKind && next !== undefined && !next.startsWith('-') ? [[word, next] as const] : [];
  });
  return [
    ...missing([...own, ...folders.map((folder) => join(folder, 'kustomization.yaml'))]),
    ...named
      .filter(([kind, name]) => !OBJECTS.has(`${kind === 'deploy' ? 'deployment' : kind}/${name}`))
      .map(([kind, name]) => `no such object: ${kind}/${name}`),
  ];
}

/** The objects of the manifests, as `<kind>/<name>`. */
const OBJECTS = new Set(
  ['knative', 'keda'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.yaml'))
      .flatMap((file) => parseAllDocuments(readFileSync(join(folder, file), 'utf8')))
      .map((each) => each.toJS() as { kind?: string; metadata?: { name?: string } } | null)
      .map((each) => `${each?.kind?.toLowerCase()}/${each?.metadata?.name}`),
  ),
);

function valuesOf(words: Words, flag: string): string[] {
  return words.flatMap((word, i) => (word === flag ? [words[i + 1] ?? ''] : []));
}

function missing(paths: Words): string[] {
  return paths.filter((path) => !existsSync(path)).map((path) => `no such file: ${path}`);
}
