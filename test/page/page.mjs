// node page.mjs URL NAME: looks at the status page five times, and ends with 1
// if anything is wrong.
import {createRequire} from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const {MODULES, CHROMIUM, SHOTS, PROFILE} = process.env;
const require = createRequire(path.join(MODULES, 'x.js'));
const puppeteer = require('puppeteer-core');
const axe = fs.readFileSync(path.join(MODULES, 'axe-core/axe.min.js'), 'utf8');
const [, , url, name] = process.argv;
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

const browser = await puppeteer.launch({
  executablePath: CHROMIUM, headless: true, userDataDir: PROFILE,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-sync',
    '--disable-component-update', '--no-first-run'],
});
let wrong = 0;
const fail = (...text) => { wrong++; console.log('WRONG', ...text); };

// 320 pixels are those of 1280 at a zoom of 400 % (WCAG 2.2, 1.4.10).
for (const [width, scheme] of [[1280, 'light'], [1280, 'dark'], [390, 'light'], [390, 'dark'], [320, 'light']]) {
  const page = await browser.newPage();
  await page.setBypassCSP(true); // for axe-core, which is put into the page
  await page.setViewport({width, height: 900});
  await page.emulateMediaFeatures([{name: 'prefers-color-scheme', value: scheme}]);
  await page.goto(url, {waitUntil: 'load'});

  const seen = await page.evaluate(() => ({
    href: location.href, title: document.title,
    wide: document.documentElement.scrollWidth, high: document.documentElement.scrollHeight,
    usable: [...document.querySelectorAll('a[href],input:not([type=hidden]),button,[tabindex="0"]')]
      .filter(e => e.checkVisibility()).length,
  }));
  if (seen.href.includes('token')) fail('the token is in the address', seen.href);
  if (seen.wide > width) fail('it scrolls sideways:', seen.wide);
  if (name === 'fifty' && width === 1280 && seen.high > 1600) fail('it is too high:', seen.high);

  const reached = new Set();
  for (let i = 0; i < seen.usable + 5; i++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => {
      const all = [...document.querySelectorAll('a[href],input,button,[tabindex="0"]')];
      const at = document.activeElement;
      const ring = getComputedStyle(at).outlineStyle !== 'none';
      return at === document.body ? '' : all.indexOf(at) + (ring ? '' : ' without a ring');
    }));
  }
  reached.delete('');
  if (reached.size !== seen.usable) fail('the Tab key reaches', reached.size, 'of', seen.usable);
  for (const r of reached) if (String(r).includes('ring')) fail('the focus is not seen:', r);
  await page.evaluate(() => document.activeElement.blur());

  await page.evaluate(axe);
  const found = await page.evaluate(run => axe.run({runOnly: run}), rules);
  for (const v of found.violations) fail(v.id, v.help, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200)).join(' ## '));
  console.log(name, width, scheme, seen.high, 'px high,', found.passes.length, 'rules passed, title', seen.title);
  if (SHOTS) await page.screenshot({path: path.join(SHOTS, `${name}-${width}-${scheme}.png`), fullPage: true});
  await page.close();
}
await browser.close();
process.exit(wrong ? 1 : 0);
