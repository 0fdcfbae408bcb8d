export interface JsonOption {
  readonly json?: boolean;
}

/** Prints what a command did: with --json the object on one line, otherwise the text. */
export function printResult({ json }: JsonOption, result: object, text: string): void {
  process.stdout.write(`${json === true ? JSON.stringify(result) : text}\n`);
}
