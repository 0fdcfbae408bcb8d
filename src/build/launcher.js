#!/usr/bin/env node
/**
 * The `muster` command of a bundle. A pod starts with `muster serve` while an event waits, so that command
 * is one script, whose compiled functions are read from a file that an earlier run wrote at its end
 * (CODE_CACHE=write). Node's own compile cache is written before a script runs, so it lacks the functions
 * that are compiled when first called, which are most of them: with it alone the first event is answered
 * 20 ms later. V8 ignores a file of another version.
 */
const { existsSync, readFileSync, writeFileSync } = process.getBuiltinModule('node:fs');
const { createRequire } = process.getBuiltinModule('node:module');
const { join } = process.getBuiltinModule('node:path');
const { Script } = process.getBuiltinModule('node:vm');

// The functions are beside this file, wherever it is started.
process.env['FUNCTIONS_FOLDER'] ??= join(import.meta.dirname, 'functions');

// Node maps the lines of modules only, not those of a script that is compiled here.
const isServe =
  process.argv[2] === 'serve' && process.argv.length === 3 && !process.sourceMapsEnabled;
if (isServe) serve();
else await import('./src/muster.js');

function serve() {
  const filename = join(import.meta.dirname, 'src/serve.cjs');
  const cache = join(import.meta.dirname, 'cache/serve');
  const isWriting = process.env['CODE_CACHE'] === 'write';
  const script = new Script(readFileSync(filename, 'latin1'), {
    filename,
    cachedData: !isWriting && existsSync(cache) ? readFileSync(cache) : undefined,
  });
  script.runInThisContext()(createRequire(filename), filename, (url) => import(url));
  if (isWriting) process.once('exit', () => writeFileSync(cache, script.createCachedData()));
}
