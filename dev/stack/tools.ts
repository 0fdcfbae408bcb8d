import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const HOW =
  'Kafka and Debezium need Java 17 or newer and Maven (Debian: apt-get install openjdk-17-jre-headless maven; macOS: brew install openjdk maven)';

/** What is missing here to run Kafka and Debezium, as one line for people; null if nothing is. */
export function missingTools(): string | null {
  const version = /version "(?:1\.)?(\d+)/.exec(run(javaCommand(), '-version'))?.[1];
  if (version === undefined) return `${HOW}; there is no Java here`;
  if (Number(version) < 17) return `${HOW}; here is Java ${version}`;
  return /^.*Apache Maven/.test(run('mvn', '--version')) ? null : `${HOW}; there is no Maven here`;
}

/** Environment of Java programs. In a locale without UTF-8 Java cannot open a path beyond ASCII. */
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
