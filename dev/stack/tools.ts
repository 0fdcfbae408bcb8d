import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const HOW =
  'Kafka and Debezium need Java 17 or newer and Maven (Debian: apt-get install openjdk-17-jre-headless maven; macOS: brew install openjdk maven)';

/** Returns what is missing to run Kafka and Debezium, as a human-readable line; null if nothing is. */
export function missingTools(): string | null {
  const version = /version "(?:1\.)?(\d+)/.exec(run(javaCommand(), '-version'))?.[1];
  if (version === undefined) return `${HOW}; Java is not installed`;
  if (Number(version) < 17) return `${HOW}; found Java ${version}`;
  return /^.*Apache Maven/.test(run('mvn', '--version')) ? null : `${HOW}; Maven is not installed`;
}

/** The environment of Java programs. Without a UTF-8 locale, Java can't open a non-ASCII path. */
export function javaEnvironment(): NodeJS.ProcessEnv {
  return process.platform === 'linux' ? { ...process.env, LC_ALL: 'C.UTF-8' } : process.env;
}

export function javaCommand(): string {
  const home = process.env['JAVA_HOME'];
  return home ? join(home, 'bin', 'java') : 'java';
}

function run(command: string, argument: string): string {
  try {
    return execFileSync('sh', ['-c', '"$1" "$2" 2>&1', 'sh', command, argument], {
      encoding: 'utf8',
      env: javaEnvironment(),
    });
  } catch {
    return '';
  }
}
