import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser } from 'playwright-core';

/**
 * Starts the Chromium of an npm package, which needs only the machine's C library; throws if there is none
 * for this platform.
 */
export async function startChromium(): Promise<Browser> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `the package has a Chromium for Linux on x64, not ${process.platform} on ${process.arch}`,
    );
  }
  const folder = unpacked();
  return chromium.launch({
    executablePath: join(folder, 'chromium'),
    // Chromium's sandbox needs a user other than root, or privileges that containers don't have.
    args: ['--no-sandbox', '--font-render-hinting=none'],
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      TMPDIR: tmpdir(),
      LD_LIBRARY_PATH: join(folder, 'al2023', 'lib'),
      FONTCONFIG_FILE: join(folder, 'fonts.conf'),
    },
  });
}

/** Returns Chromium's folder, unpacked once per version and user: 65 MB, which takes some seconds. */
function unpacked(): string {
  const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const { version } = createRequire(import.meta.url)(
    join(dirname(entry), '..', '..', 'package.json'),
  ) as { version: string };
  const folder = join(tmpdir(), `muster-chromium-${version}-${process.getuid?.()}`);
  if (existsSync(folder)) return folder;
  const fresh = mkdtempSync(`${folder}-`);
  // The package unpacks into the temporary folder, and unpacks its libraries only on AWS Lambda: a
  // separate process simulates both.
  const unpack = `(await import(${JSON.stringify(pathToFileURL(entry).href)})).default`;
  execFileSync(
    process.execPath,
    ['--input-type=module', '-e', `await (${unpack}.default ?? ${unpack}).executablePath();`],
    { env: { ...process.env, TMPDIR: fresh, AWS_LAMBDA_JS_RUNTIME: 'nodejs24.x' } },
  );
  const fonts = [join(folder, 'fonts', 'fonts'), '/usr/share/fonts'].map(
    (each) => `<dir>${each}</dir>`,
  );
  writeFileSync(
    join(fresh, 'fonts.conf'),
    `<?xml version="1.0"?><fontconfig>${fonts.join('')}<cachedir>${join(folder, 'fonts-cache')}</cachedir></fontconfig>`,
  );
  try {
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // another process was first
  }
  return folder;
}
