package status

// style is all CSS of the page. The page loads no other file and has no script,
// so that it works while other things are broken.
const style = `
:root{--back:#fff;--text:#1f2328;--soft:#57606a;--line:#d0d7de;--link:#0550ae;--good:#116329;
 --wait:#7d4e00;--bad:#a40e26;--area:#ddf4ff;--stroke:#0969da}
@media(prefers-color-scheme:dark){:root{--back:#0d1117;--text:#e6edf3;--soft:#9198a1;
 --line:#30363d;--link:#79c0ff;--good:#56d364;--wait:#e3b341;--bad:#ff7b72;--area:#0c2d6b;
 --stroke:#58a6ff}}
*{box-sizing:border-box}
body{background:var(--back);color:var(--text);font:13px/18px system-ui,sans-serif;margin:0 auto;
 max-width:80rem;padding:8px 16px;font-variant-numeric:tabular-nums}
h1{font-size:20px;line-height:26px;margin:0;flex:1 1 auto}
h2{font-size:14px;line-height:20px;margin:0}
p,ul,ol,dl,pre,figure{margin:0}
a{color:var(--link)}
a:focus-visible,[tabindex]:focus-visible,input:focus-visible,button:focus-visible{
 outline:2px solid var(--link);outline-offset:1px}
.good{color:var(--good)}.wait{color:var(--wait)}.bad{color:var(--bad)}
header{display:flex;flex-wrap:wrap;align-items:baseline;gap:0 16px}
header p,.tile p,.scale,caption,dt{color:var(--soft)}
nav,.bar{display:flex;flex-wrap:wrap;align-items:center;gap:0 4px}
nav span,.bar h2{margin-right:4px}
nav a,.bar a,thead a{display:inline-block;line-height:24px;min-width:24px;padding:0 4px;
 text-align:center}
[aria-current]{font-weight:600;text-decoration:none;border-bottom:2px solid}
form{margin-left:auto;display:flex;align-items:center;gap:4px}
input,button{font:inherit;color:inherit;background:var(--back);border:1px solid var(--soft);
 border-radius:4px;height:24px;padding:0 6px}
input{width:9rem}
section{margin:8px 0}
.problems{border-left:3px solid var(--bad);padding-left:12px}
.problems ul{padding:0;list-style:none;overflow-wrap:anywhere}
.problems li a{display:inline-block;line-height:24px}
.tiles{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:8px}
.tile{border:1px solid var(--line);border-radius:6px;padding:6px 10px;display:grid;
 grid-template-columns:auto 1fr;column-gap:12px}
.tile h2{font-size:13px;font-weight:400;grid-column:1/3;color:var(--soft)}
.tile .value{font-size:20px;line-height:26px;font-weight:600;color:var(--text)}
.tile p{grid-column:1;white-space:nowrap}
.spark{grid-column:2;grid-row:2/4;width:100%;height:40px}
polyline{fill:none;stroke:var(--stroke);stroke-width:1.5;vector-effect:non-scaling-stroke}
polygon{fill:var(--area)}
.bad polyline{stroke:var(--bad)}
path{stroke:var(--line);vector-effect:non-scaling-stroke}
.plots div{display:grid;grid-template-columns:repeat(4,1fr);gap:16px}
.plot{width:100%;height:64px;display:block}
.scale{display:flex;justify-content:space-between}
table{border-collapse:collapse;width:100%}
caption{text-align:left;line-height:18px}
th,td{text-align:left;font-weight:400;padding:0 8px 0 0;border-top:1px solid var(--line);
 overflow-wrap:anywhere;vertical-align:top}
thead th{border:0;font-weight:600;white-space:nowrap}
thead a{text-align:inherit;padding:0}
.n{text-align:right;white-space:nowrap}
.list tbody th{width:50%}
.more td{border:0}
.backends td,.backends th{line-height:16px;white-space:nowrap}
.backends thead th{line-height:24px}
.backends tbody th{max-width:16rem;overflow:hidden;text-overflow:ellipsis}
.backends .why{max-width:0;width:40%;overflow:hidden;text-overflow:ellipsis;padding:0 0 0 8px}
.panels{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 24px}
.whole{grid-column:1/3}
.scroll{max-height:128px;overflow:auto;border:1px solid var(--line);border-radius:6px;
 padding:0 8px}
.events{list-style:none;overflow-wrap:anywhere}
.events b{font-weight:600}
pre{font:12px/18px ui-monospace,monospace;user-select:all;white-space:pre-wrap;
 overflow-wrap:anywhere}
dl div{display:flex;justify-content:space-between;border-top:1px solid var(--line)}
dd{margin:0;text-align:right}
@media(max-width:56rem){.wide{display:none}.tiles{grid-template-columns:repeat(2,minmax(0,1fr))}
 .plots div,.panels{grid-template-columns:minmax(0,1fr)}.whole{grid-column:1}
 .tile{display:block}.tile p{white-space:normal}form{margin:4px 0}h1{flex-basis:100%}
 .backends tbody th{max-width:9rem}}
@media(max-width:34rem){thead th,.backends td,.backends th{white-space:normal}.narrow{display:none}
 .backends tbody th{max-width:none;min-width:4rem}td.n{white-space:nowrap}
 .list thead th,td.n,.list td,.backends thead th,.backends td{overflow-wrap:normal}
 .more td{overflow-wrap:anywhere}}
@media(max-width:56rem) and (min-width:34rem){
 .plots div{grid-template-columns:repeat(2,minmax(0,1fr))}}
`
