import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { toProperties } from '../../dev/stack/settings.ts';
import { javaCommand, missingTools } from '../../dev/stack/tools.ts';

const PRINT = `
public class Print {
  public static void main(String[] args) throws Exception {
    var settings = new java.util.Properties();
    settings.load(new java.io.FileInputStream(args[0]));
    for (char unit : settings.getProperty("log.dirs").toCharArray()) System.out.print((int) unit + " ");
  }
}`;

test.skipIf(missingTools() !== null)(
  'Java reads back a path with spaces, backslashes and non-ASCII letters unchanged',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-properties-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const path = String.raw`/home/me/my wörk\x/müster 🜔`;
    writeFileSync(join(folder, 'Print.java'), PRINT);
    writeFileSync(join(folder, 'settings'), toProperties({ 'log.dirs': path }));
    const args = [join(folder, 'Print.java'), join(folder, 'settings')];
    const units = execFileSync(javaCommand(), args, { encoding: 'utf8' }).trim().split(' ');
    expect(String.fromCharCode(...units.map(Number))).toBe(path);
  },
);
