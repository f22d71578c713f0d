"use strict";
// Draws the page's charts from its data, and makes its tables something to open, copy and choose from. No string becomes markup here:
// text goes through textContent, tool tips are elements.
(async () => {
  const page = document.documentElement, $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  if (data.packed) {
    const bytes = Uint8Array.from(atob(data.packed), (c) => c.charCodeAt(0));
    data.seen = JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text());
  }
  const width = data.columns.length, column = Object.fromEntries(data.columns.slice(0, 8).map((c, i) => [c, i]));
  const verdicts = ["pass", "miss", "unsure", "invalid"], purposes = ["", "bound", "explore", "confirm"];
  const remarks = ["emulated", "repeated alone", "near the limit"];
  const shapes = ["circle", "triangle", "diamond", "path://M-5,-3.6 L-3.6,-5 L0,-1.4 L3.6,-5 L5,-3.6 L1.4,0 L5,3.6 L3.6,5 L0,1.4 L-3.6,5 L-5,3.6 L-1.4,0 Z"];
  const crowd = 3000; // marks, from which on a canvas draws them: an element each is too much for a browser
  const narrow = () => window.innerWidth < 640;

  const text = (v, digits = 4) => {
    if (!isFinite(v)) return "";
    if (Math.abs(v) >= 10 ** digits) return String(Math.round(v));
    return String(Number(Number(v).toPrecision(digits)));
  };
  const moment = (s) => s === null ? "" : new Date(data.zero + s * 1000).toISOString().replace("T", " ").slice(0, 19);
  let palette = {}; // of the theme; asked for once a drawing, because each question may cost the browser a look at the whole page
  const colour = (name) => palette[name] ||= getComputedStyle(page).getPropertyValue("--" + name).trim();
  const make = (tag, words, cls) => {
    const e = document.createElement(tag);
    if (words !== undefined) e.textContent = words;
    if (cls) e.className = cls;
    return e;
  };
  const tip = (title, ...lines) => {
    const box = make("div", undefined, "tip");
    box.append(make("b", title), ...lines.filter(Boolean).map((l) => make("span", l)));
    return box;
  };

  // A load, by cell and index, through a lens.
  const count = (cell) => data.seen[cell].length / width;
  const load = (cell, i, lens) => {
    const at = data.seen[cell], o = i * width, p = o + 8 + 4 * lens;
    const get = (name) => at[o + column[name]];
    const run = get("run"), flags = get("flags");
    return {
      cell, i, rate: get("rate"), throughput: get("throughput"), verdict: get("verdict"), purpose: purposes[get("purpose")], requests: get("requests"),
      run: Math.floor(run / 1000) + "." + run % 1000, p50: at[p], value: at[p + 1], low: at[p + 2], high: at[p + 3], emulated: (flags & 1) > 0,
      remarks: [data.causes[get("cause")], ...remarks.filter((_, bit) => flags & 1 << bit)].filter(Boolean).join(", "),
    };
  };
  const loads = (cell, lens) => Array.from({length: count(cell)}, (_, i) => load(cell, i, lens));
  const rateText = (r) => r < 0 ? "inf" : text(r);
  const loadTip = (l, lens) => tip(data.cells[l.cell][0] + ", run " + l.run, verdicts[l.verdict] + (l.purpose ? ", " + l.purpose : ""),
    "rate " + rateText(l.rate) + " req/s, throughput " + text(l.throughput) + " req/s", "P50 " + text(l.p50) + " ms",
    lens.name + " " + text(l.value) + " ms" + (l.high ? " (" + text(l.low) + " to " + text(l.high) + ")" : ""), l.remarks);

  let cell = data.winner >= 0 ? data.winner : Math.max(0, data.seen.findIndex((s) => s.length > 0)), lens = 0, spread = 0, cursor = cell;

  // Charts: each is an element, its options and how many marks it has.
  const charts = [];
  const chart = (id, options, marks, height) => {
    const box = $(id);
    if (!box) return null;
    if (height) box.style.height = height + "px";
    const c = {box, options, shown: echarts.init(box, null, {renderer: marks > crowd ? "canvas" : "svg"})};
    charts.push(c);
    c.draw = () => {
      palette = {};
      c.shown.setOption({animation: false, ...common(), ...c.options()}, {notMerge: true});
    };
    c.draw();
    return c;
  };
  const common = () => ({
    textStyle: {fontFamily: getComputedStyle(document.body).fontFamily, color: colour("ink")},
    tooltip: {trigger: "item", confine: true, transitionDuration: 0, backgroundColor: colour("paper"), borderColor: colour("rule"), padding: [6, 10],
      textStyle: {color: colour("ink"), fontSize: 13}},
  });
  const axis = (name, more) => ({
    type: "value", name, nameLocation: "middle", nameGap: 30, nameTextStyle: {color: colour("muted"), fontSize: 12},
    axisLabel: {color: colour("muted"), fontSize: 12, hideOverlap: true}, axisLine: {show: true, lineStyle: {color: colour("rule")}}, axisTick: {show: false},
    splitLine: {lineStyle: {color: colour("rule"), opacity: .6}}, ...more,
  });
  const up = (name, values, more) => {
    const known = values.filter((v) => v > 0), log = known.length > 0 && Math.max(...thin(known)) > 50 * Math.min(...thin(known));
    return axis(name, {type: log ? "log" : "value", nameGap: 52, axisLabel: {color: colour("muted"), fontSize: 12, formatter: (v) => text(v)}, ...more});
  };
  const thin = (values) => values.length < 50000 ? values : values.filter((_, i) => i % 4 === 0); // arguments of a call are limited
  const legend = (names) => ({top: 0, left: 0, itemWidth: 12, itemHeight: 10, itemGap: 18, textStyle: {color: colour("muted"), fontSize: 12}, inactiveColor: colour("rule"),
    data: names});
  const said = (words) => ({enabled: true, label: {description: words}});
  const limitLine = (ms, name) => ({silent: true, symbol: "none", animation: false, lineStyle: {color: colour("warn"), type: "dashed", width: 1.5},
    label: {formatter: name, position: "insideStartTop", color: colour("warn"), fontSize: 12}, data: [{yAxis: ms}]});
  const tone = (v) => colour(verdicts[v]);

  // Where the time went.
  const share = (p) => (100 * data.spent[p.dataIndex][2]).toFixed(1) + " %";
  const spent = () => ({
    aria: said("Bar chart: " + data.spent.map((s) => s[0] + " " + text(s[1]) + " s").join(", ")),
    grid: {left: 90, right: 110, top: 4, bottom: 40},
    xAxis: axis("Time, " + data.unit, {splitNumber: 4}),
    yAxis: {type: "category", inverse: true, data: data.spent.map((s) => s[0]), axisLine: {show: false}, axisTick: {show: false}, axisLabel: {color: colour("ink"), fontSize: 13, width: 84, overflow: "truncate"}},
    tooltip: {...common().tooltip, formatter: (p) => tip(data.spent[p.dataIndex][0], text(data.spent[p.dataIndex][1]) + " s", share(p) + " in all")},
    series: [{type: "bar", barMaxWidth: 18, data: data.spent.map((s) => ({value: s[1], itemStyle: {color: s[0] === "under load" ? colour("accent") : colour("h5")}})),
      label: {show: true, position: "right", color: colour("muted"), fontSize: 12, formatter: share}}],
  });

  // The grid.
  const values = data.cells.map((c) => c[4]).filter((v) => v > 0), least = values.reduce((a, b) => Math.min(a, b), Infinity), most = values.reduce((a, b) => Math.max(a, b), 0);
  const heat = (v) => v <= 0 ? 0 : most > least ? 1 + Math.floor(8 * (v - least) / (most - least)) : 9;
  const cellWords = (c) => c[0] + ": " + (c[4] > 0 ? text(c[4]) + " req/s, " : "") + c[6];
  const board = () => {
    const small = data.cells.length > 400;
    const dark = colour("on-accent"), ink = colour("ink");
    return {
      aria: said("Heat map of throughput by max_num_seqs and max_num_batched_tokens; the table below has the same numbers."),
      grid: {left: narrow() ? 56 : 76, right: 8, top: 4, bottom: 46},
      xAxis: axis("max_num_batched_tokens", {type: "category", data: data.tokens.map(String), splitLine: {show: false}, axisLine: {show: false}}),
      yAxis: axis("max_num_seqs", {type: "category", data: data.seqs.map(String), inverse: true, nameGap: narrow() ? 40 : 52, splitLine: {show: false}, axisLine: {show: false}}),
      tooltip: {...common().tooltip, formatter: (p) => tip(data.cells[p.dataIndex][0], ...cellWords(data.cells[p.dataIndex]).split(": ").slice(1).join(": ").match(/.{1,160}/g) || [])},
      series: [{
        type: "heatmap", cursor: "pointer", emphasis: {itemStyle: {borderColor: colour("ink"), borderWidth: 2}},
        data: data.cells.map((c) => {
          const h = heat(c[4]), symbol = data.kinds[c[3]].Symbol;
          return {
            value: [c[2], c[1], c[4]],
            itemStyle: {color: h ? colour("h" + h) : colour("raised"), borderColor: colour("paper"), borderWidth: small ? .5 : 3},
            label: {show: true, color: h >= 7 ? dark : h >= 5 ? colour("h-ink") : ink, fontSize: small ? 9 : 13, fontWeight: c[3] === 0 ? 700 : 400,
              formatter: small ? symbol : (symbol + " " + (c[4] > 0 ? text(c[4]) : c[5] > 0 && !narrow() ? "< " + text(c[5]) : "")).trim()},
          };
        }),
      }, {
        type: "custom", silent: true, z: 5, data: [[data.cells[cell][2], data.cells[cell][1]]],
        renderItem: (_, api) => {
          const at = api.coord([api.value(0), api.value(1)]), size = api.size([1, 1]);
          return {type: "rect", shape: {x: at[0] - size[0] / 2 + 1, y: at[1] - size[1] / 2 + 1, width: size[0] - 2, height: size[1] - 2}, style: {fill: null, stroke: colour("ink"), lineWidth: 2}};
        },
      }],
    };
  };

  // One cell's loads.
  const rates = () => {
    const l = data.lenses[lens], all = loads(cell, lens), finite = all.filter((o) => o.rate >= 0), most = Math.max(0, ...finite.map((o) => o.rate));
    const inf = most > 0 ? most + .22 * (most - Math.min(...finite.map((o) => o.rate)) || most) : 1, x = (o) => o.rate < 0 ? inf : o.rate;
    const low = finite.length ? Math.min(...finite.map((o) => o.rate)) : 0, bound = all.some((o) => o.rate < 0 && o.value > 0);
    // Of all requests at once a latency says how many they were. Where it would squeeze the others it is drawn at the top, with its number.
    const top = 1.15 * Math.max(l.ms, ...finite.map((o) => Math.max(o.value, o.high))), over = (o) => o.rate < 0 && finite.length > 0 && o.value > 1.5 * top;
    const y = (o) => over(o) ? top : o.value, bars = all.filter((o) => o.high > 0 && o.value > 0 && !over(o));
    const span = most > low ? most - low : most || 1;
    const points = verdicts.map((name, v) => ({
      name: l.name + ", " + name, type: "scatter", symbol: shapes[v], symbolSize: 11, z: 5, itemStyle: {color: tone(v), borderColor: colour("paper"), borderWidth: 1},
      data: all.filter((o) => o.verdict === v && o.value > 0).map((o) => ({value: [x(o), y(o)], o, itemStyle: o.emulated ? {color: colour("paper"), borderColor: tone(v), borderWidth: 2} : undefined,
        label: over(o) ? {show: true, position: "left", formatter: "↑ " + text(o.value) + " ms", color: colour("muted"), fontSize: 12} : undefined})),
    })).filter((s) => s.data.length > 0);
    const spans = {
      name: "interval", type: "custom", silent: true, z: 4, encode: {x: 0, y: [1, 2]}, data: bars.map((o) => [x(o), o.low, o.high, o.verdict]),
      renderItem: (_, api) => {
        const a = api.coord([api.value(0), api.value(1)]), b = api.coord([api.value(0), api.value(2)]), style = {stroke: tone(api.value(3)), lineWidth: 1.5, opacity: .75, fill: null};
        const line = (x1, y1, x2, y2) => ({type: "line", shape: {x1, y1, x2, y2}, style});
        return {type: "group", children: [line(a[0], a[1], b[0], b[1]), line(a[0] - 4, a[1], a[0] + 4, a[1]), line(b[0] - 4, b[1], b[0] + 4, b[1])]};
      },
    };
    const half = {
      name: "P50", type: "line", symbol: "emptyCircle", symbolSize: 6, z: 3, lineStyle: {color: colour("muted"), width: 1, type: "dotted"}, itemStyle: {color: colour("muted")},
      data: finite.filter((o) => o.p50 > 0 && o.verdict !== 3).sort((a, b) => a.rate - b.rate).map((o) => ({value: [o.rate, o.p50], o})),
      markLine: l.ms > 0 ? limitLine(l.ms, "limit " + text(l.ms) + " ms") : undefined,
    };
    return {
      aria: said(l.name + " and P50 against request rate of cell " + data.cells[cell][0] + ": " + all.length + " loads; the table below has the same numbers."),
      legend: legend(["P50", ...points.map((s) => s.name)]),
      grid: {left: narrow() ? 58 : 74, right: 24, top: narrow() ? 70 : 44, bottom: 46},
      xAxis: axis("Request rate, req/s", {min: Math.max(0, Number((low - .12 * span).toPrecision(2))), max: bound ? inf + .06 * span : Number((most + .12 * span).toPrecision(3)) || 1,
        axisLabel: {color: colour("muted"), fontSize: 12, hideOverlap: true, formatter: (v) => bound && v > most + .06 * span ? "" : text(v)},
        }),
      yAxis: up("Latency, ms", [...all.map(y), ...finite.map((o) => o.p50), l.ms]),
      tooltip: {...common().tooltip, formatter: (p) => p.data && p.data.o ? loadTip(p.data.o, l) : null},
      series: [half, spans, ...points, {type: "scatter", data: [], markLine: bound ? {silent: true, symbol: "none", lineStyle: {color: colour("rule"), type: "solid"},
        label: {formatter: "all at once", position: "start", distance: 8, color: colour("muted"), fontSize: 12}, data: [{xAxis: inf}]} : undefined}],
    };
  };

  // The winner's distribution.
  const shape = () => {
    const s = data.spreads[spread], step = s.bins.length ? s.bins[0][1] - s.bins[0][0] : 1, unit = s.name === "ITL" ? "gaps" : "requests";
    return {
      aria: said("Histogram of " + s.name + " of the winner, from " + text(s.bins[0][0]) + " to " + text(s.bins[s.bins.length - 1][1]) + " ms; the table below has the same numbers."),
      grid: {left: narrow() ? 52 : 66, right: 24, top: 24, bottom: 46},
      xAxis: axis(s.name + ", ms", {min: s.bins[0][0], max: Math.max(s.bins[s.bins.length - 1][1], s.ms > 0 && s.ms < 2 * s.bins[s.bins.length - 1][1] ? s.ms + step : 0), splitLine: {show: false},
        axisLabel: {color: colour("muted"), fontSize: 12, hideOverlap: true, formatter: (v) => text(v)}}),
      yAxis: axis(unit[0].toUpperCase() + unit.slice(1), {nameGap: 44}),
      tooltip: {...common().tooltip, formatter: (p) => p.seriesType === "custom" ? tip(text(s.bins[p.dataIndex][0]) + " to " + text(s.bins[p.dataIndex][1]) + " ms", s.bins[p.dataIndex][2] + " " + unit) : null},
      series: [
        {type: "custom", encode: {x: [0, 1], y: 2}, data: s.bins,
          renderItem: (_, api) => {
            const a = api.coord([api.value(0), api.value(2)]), b = api.coord([api.value(1), 0]);
            return {type: "rect", shape: {x: a[0] + .5, y: a[1], width: Math.max(1, b[0] - a[0] - 1), height: b[1] - a[1]}, style: {fill: colour("accent")}};
          }},
        {type: "scatter", data: [], markLine: s.ms > 0 ? {silent: true, symbol: "none", lineStyle: {color: colour("warn"), type: "dashed", width: 1.5},
          label: {formatter: "limit " + text(s.ms) + " ms", align: "right", color: colour("warn"), fontSize: 12}, data: [{xAxis: s.ms}]} : undefined},
      ],
    };
  };

  // All loads.
  const total = data.seen.reduce((n, s) => n + s.length / width, 0);
  // Of very many each is a dot of three pixels, which a canvas fills at once; shapes of that size could not be told apart, and one path of a
  // hundred thousand of them keeps a browser busy for minutes.
  const tradeoff = () => {
    const l = data.lenses[0], by = verdicts.map(() => []), every = [];
    for (let c = 0; c < data.seen.length; c++) {
      for (let i = 0; i < count(c); i++) {
        const o = load(c, i, 0);
        if (!(o.value > 0 && o.throughput > 0) || o.rate < 0 && data.finite) continue;
        every.push(o.value);
        by[o.verdict].push(total > crowd ? [o.throughput, o.value, c, i] : {value: [o.throughput, o.value, c, i], itemStyle: o.emulated ? {color: colour("paper"), borderColor: tone(o.verdict), borderWidth: 1.5} : undefined});
      }
    }
    const find = (p) => { const v = p.data.value || p.data; return load(v[2], v[3], 0); };
    const front = data.front.map(([c, i]) => load(c, i, 0));
    return {
      aria: said("Throughput against " + l.name + " of " + total + " loads, with the Pareto front of " + front.length + "; the table below has the front."),
      legend: legend([{name: "Pareto front", icon: "path://M0,4h16v2h-16z"}, ...verdicts.filter((_, v) => by[v].length)]),
      grid: {left: narrow() ? 58 : 74, right: 24, top: narrow() ? 64 : 44, bottom: 46},
      xAxis: axis("Throughput, req/s", {scale: true}),
      yAxis: up(l.name + ", ms", [...every, l.ms].filter((_, i) => i < 50000)),
      tooltip: {...common().tooltip, formatter: (p) => p.seriesType === "scatter" ? loadTip(find(p), l) : null},
      series: [
        ...verdicts.map((name, v) => ({name, type: "scatter", symbol: shapes[v], symbolSize: total > crowd ? 3 : 9, itemStyle: {color: tone(v), opacity: total > crowd ? .5 : .9, borderColor: colour("paper"), borderWidth: total > crowd ? 0 : 1},
          data: by[v], large: total > crowd, progressive: 0})).filter((s) => s.data.length),
        {name: "Pareto front", type: "line", symbol: "none", z: 4, lineStyle: {color: colour("ink"), width: 1.5}, itemStyle: {color: colour("ink")}, data: front.map((o) => [o.throughput, o.value]), silent: true,
          markLine: l.ms > 0 ? limitLine(l.ms, "limit " + text(l.ms) + " ms") : undefined},
      ],
    };
  };

  // Jobs.
  const begun = data.jobs.map((j, i) => [...j, i]).filter((j) => j[1] >= 0);
  const fateColour = (f) => [colour("accent"), colour("h5"), colour("miss"), colour("invalid"), colour("unsure"), colour("h3"), colour("rule")][f];
  const letters = ["✓", "↻", "✕", "–", "?", "…", ""];
  const timeline = () => ({
    aria: said("Time line of " + begun.length + " jobs on " + new Set(data.lanes).size + " nodes; the table below has the same times."),
    legend: {...legend(data.fates.filter((_, f) => begun.some((j) => j[2] === f))), selectedMode: false},
    grid: {left: narrow() ? 84 : 130, right: 24, top: 36, bottom: 46},
    useUTC: true,
    xAxis: axis("Time, UTC", {type: "time", min: data.zero + 1000 * begun.reduce((m, j) => Math.min(m, j[3] === null ? j[4] : j[3]), Infinity), max: data.zero + 1000 * data.last,
      axisLabel: {color: colour("muted"), fontSize: 12, hideOverlap: true, formatter: {day: "{MMM} {d}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}"}}}),
    yAxis: {type: "category", inverse: true, data: data.lanes, axisLine: {show: false}, axisTick: {show: false}, axisLabel: {color: colour("ink"), fontSize: 12, width: narrow() ? 74 : 118, overflow: "truncate",
      formatter: (name, i) => i > 0 && data.lanes[i - 1] === name ? "" : name}},
    tooltip: {...common().tooltip, formatter: (p) => {
      const j = data.jobs[p.value[4]];
      return tip(j[0] + " on " + data.lanes[j[1]], j[6], j[3] === null ? "" : "submitted " + moment(j[3]), "started " + moment(j[4]), j[5] === null ? "" : "ended " + moment(j[5]), "UTC");
    }},
    series: [{
      type: "custom", silent: true, z: 1, encode: {x: [1, 2], y: 0}, data: begun.filter((j) => j[3] !== null).map((j) => [j[1], data.zero + 1000 * j[3], data.zero + 1000 * j[4]]),
      renderItem: (_, api) => {
        const from = api.coord([api.value(1), api.value(0)]), to = api.coord([api.value(2), api.value(0)]);
        return {type: "line", shape: {x1: from[0], y1: from[1], x2: to[0], y2: to[1]}, style: {stroke: colour("muted"), lineWidth: 1, lineDash: [2, 2]}};
      },
    }, ...data.fates.map((name, f) => ({
      name, type: "custom", z: 2, itemStyle: {color: fateColour(f)}, encode: {x: [1, 2, 3], y: 0},
      data: begun.filter((j) => j[2] === f).map((j) => [j[1], data.zero + 1000 * (j[3] === null ? j[4] : j[3]), data.zero + 1000 * j[4], data.zero + 1000 * (j[5] === null ? data.last : j[5]), j[7]]),
      renderItem: (_, api) => {
        const from = api.coord([api.value(2), api.value(0)]), to = api.coord([api.value(3), api.value(0)]), h = Math.min(20, api.size([0, 1])[1] * .66);
        const w = Math.max(2, to[0] - from[0]), children = [
          {type: "rect", shape: {x: from[0], y: from[1] - h / 2, width: w, height: h, r: 2}, style: {fill: fateColour(f)}},
        ];
        if (w > 18 && h > 11) children.push({type: "text", style: {x: from[0] + w / 2, y: from[1], text: letters[f], align: "center", verticalAlign: "middle", fill: f === 1 ? colour("h-ink") : f === 5 ? colour("ink") : colour("on-accent"), fontSize: 12}, silent: true});
        return {type: "group", children};
      },
    }))],
  });

  // Drawing.
  if (data.spent && data.spent.length) chart("c-time", spent, 0, 34 * data.spent.length + 52);
  const rowHeight = data.seqs.length > 40 ? 14 : data.seqs.length > 12 ? 28 : 48;
  const gridChart = data.cells.length ? chart("c-grid", board, data.cells.length, Math.max(160, rowHeight * data.seqs.length + 54)) : null;
  const rateChart = data.cells.length ? chart("c-rates", rates, 0) : null;
  const spreadChart = data.spreads && data.spreads.length ? chart("c-spread", shape, 0) : null;
  if (total) chart("c-front", tradeoff, total);
  if (begun.length) chart("c-jobs", timeline, begun.length, 86 + Math.min(data.lanes.length * 34, 1600));

  // Choosing.
  const options = (select, names, order) => {
    select.replaceChildren(...(order || names.map((_, i) => i)).map((i) => { const o = make("option", names[i]); o.value = i; return o; }));
  };
  const pickCell = $("cell"), pickLens = $("lens"), pickSpread = $("metric"), spoken = $("said"), boardBox = $("board");
  const order = data.cells.map((_, i) => i).sort((a, b) => (b === data.winner) - (a === data.winner) || data.cells[b][4] - data.cells[a][4] || a - b);
  options(pickCell, data.cells.map((c, i) => c[0] + (c[3] === 0 ? " ★" : "") + (c[4] > 0 ? " · " + text(c[4]) + " req/s" : "") + " · " + count(i) + " loads"), order);
  options(pickLens, data.lenses.map((l) => l.name + (l.ms > 0 ? " (limit " + text(l.ms) + " ms)" : "")));
  const table = () => {
    const box = $("t-rates").querySelector("table"), body = make("tbody"), l = data.lenses[lens], c = data.cells[cell];
    if (!c) return;
    box.caption.textContent = "Loads of " + c[0] + (count(cell) ? "" : ": none");
    box.tHead.rows[0].cells[7].textContent = l.name + ", ms";
    for (const o of loads(cell, lens)) {
      const row = make("tr"), name = make("th", c[0]);
      name.scope = "row";
      row.append(name, make("td", o.run), make("td", o.purpose), ...[rateText(o.rate), o.requests, text(o.throughput), o.p50 > 0 ? text(o.p50) : "", o.value > 0 ? text(o.value) : "",
        o.high > 0 ? text(o.low) + " to " + text(o.high) : ""].map((v) => make("td", v, "n")), make("td", verdicts[o.verdict]), make("td", o.remarks));
      body.append(row);
    }
    box.replaceChild(body, box.tBodies[0]);
  };
  const choose = (i) => {
    cell = cursor = i;
    pickCell.value = i;
    if (gridChart) gridChart.draw();
    if (rateChart) rateChart.draw();
    table();
    spoken.textContent = "Selected " + cellWords(data.cells[i]);
  };
  pickCell.value = cell;
  pickCell.addEventListener("change", () => choose(Number(pickCell.value)));
  pickLens.addEventListener("change", () => { lens = Number(pickLens.value); if (rateChart) rateChart.draw(); table(); });
  if (pickSpread) {
    options(pickSpread, data.spreads.map((s) => s.name));
    pickSpread.addEventListener("change", () => { spread = Number(pickSpread.value); spreadChart.draw(); });
  }
  if (gridChart) {
    gridChart.shown.on("click", (p) => choose(p.dataIndex));
    const at = (row, col) => data.cells.findIndex((c) => c[1] === row && c[2] === col);
    const point = (i) => {
      gridChart.shown.dispatchAction({type: "downplay", seriesIndex: 0});
      cursor = i;
      gridChart.shown.dispatchAction({type: "highlight", seriesIndex: 0, dataIndex: i});
      gridChart.shown.dispatchAction({type: "showTip", seriesIndex: 0, dataIndex: i});
      spoken.textContent = cellWords(data.cells[i]);
    };
    boardBox.addEventListener("focus", () => { if (boardBox.matches(":focus-visible")) point(cursor); });
    boardBox.addEventListener("blur", () => { gridChart.shown.dispatchAction({type: "downplay", seriesIndex: 0}); gridChart.shown.dispatchAction({type: "hideTip"}); });
    boardBox.addEventListener("keydown", (e) => {
      const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[e.key];
      if (e.key === "Enter" || e.key === " ") { e.preventDefault(); choose(cursor); return; }
      if (!step) return;
      e.preventDefault();
      let [row, col] = [data.cells[cursor][1], data.cells[cursor][2]], next = -1;
      do { row += step[0]; col += step[1]; next = at(row, col); } while (next < 0 && row >= 0 && col >= 0 && row < data.seqs.length && col < data.tokens.length);
      if (next >= 0) point(next);
    });
  }
  table();

  // Tables.
  for (const button of document.querySelectorAll("[data-table]")) {
    const box = $(button.dataset.table);
    button.addEventListener("click", () => button.setAttribute("aria-expanded", String(box.classList.toggle("open"))));
  }
  // What a spreadsheet would take for a formula gets a mark before it.
  const plain = (t) => /^[=+@]|^-[^\d\s]/.test(t) ? "'" + t : t;
  const tsv = (box) => box.tagName === "CODE" ? box.textContent : [...box.querySelectorAll("table")].map((t) => [...t.rows].map((r) =>
    [...r.cells].map((c) => plain(c.textContent.replace(/\s+/g, " ").trim())).join("\t")).join("\n")).join("\n\n") + "\n";
  const copy = async (words) => {
    try {
      await navigator.clipboard.writeText(words);
      return true;
    } catch {
      const area = make("textarea", words, "gone"), before = document.activeElement;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (before) before.focus();
      return done;
    }
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    const name = button.textContent;
    button.addEventListener("click", async () => {
      button.textContent = await copy(tsv($(button.dataset.copy))) ? "Copied" : "Select and copy by hand";
      setTimeout(() => { button.textContent = name; }, 2000);
    });
  }

  // Light, dark, print, and other widths.
  const redraw = () => charts.forEach((c) => c.draw());
  const system = matchMedia("(prefers-color-scheme: dark)"), toggle = $("theme");
  const isDark = () => page.dataset.theme ? page.dataset.theme === "dark" : system.matches;
  const remember = (v) => { try { localStorage.setItem("vtune-theme", v); } catch { /* a file may have no storage */ } };
  const themed = () => { toggle.setAttribute("aria-pressed", String(isDark())); redraw(); };
  try { const kept = localStorage.getItem("vtune-theme"); if (kept === "dark" || kept === "light") page.dataset.theme = kept; } catch { /* likewise */ }
  toggle.addEventListener("click", () => { page.dataset.theme = isDark() ? "light" : "dark"; remember(page.dataset.theme); themed(); });
  system.addEventListener("change", themed);
  themed();
  let width0 = window.innerWidth;
  let printing = false, before;
  window.addEventListener("resize", () => { if (!printing && window.innerWidth !== width0) { width0 = window.innerWidth; charts.forEach((c) => c.shown.resize()); redraw(); } });
  window.addEventListener("beforeprint", () => {
    printing = true;
    before = page.dataset.theme;
    page.dataset.theme = "light";
    charts.forEach((c) => { c.shown.resize({width: 660}); c.draw(); });
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    if (before) page.dataset.theme = before; else delete page.dataset.theme;
    charts.forEach((c) => c.shown.resize({width: "auto"}));
    redraw();
  });
  page.dataset.drawn = String(charts.length);
})().catch((e) => {
  document.documentElement.className = ""; // all tables, as without a script
  throw e;
});
