package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"vtune/internal/need"
	"vtune/internal/record"
	"vtune/internal/report/page"
)

var (
	browser     context.Context
	stopBrowser = func() {}
	start       = sync.OnceFunc(func() {
		options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.ExecPath("chromium"), chromedp.WSURLReadTimeout(time.Minute))
		ctx, stopAll := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, stop := chromedp.NewContext(ctx)
		browser, stopBrowser = ctx, func() { stop(); stopAll() }
	})
)

// One browser serves all tests of the package: to start it takes longer than most of them.
func TestMain(m *testing.M) {
	code := m.Run()
	stopBrowser()
	os.Exit(code)
}

// tab is a page in the browser, with all that it said and asked for.
type tab struct {
	*testing.T
	ctx      context.Context
	mu       sync.Mutex
	said     []string // console and exceptions
	requests []string
	url      string
}

// open shows html, from a file, as a double click does. It fails the test at its end if the page complained or asked for anything but
// itself.
func open(t *testing.T, html []byte, before ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	need.Program(t, "chromium", "make deps")
	start()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, html, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(browser); err != nil { // the first one starts it
		t.Fatal(err)
	}
	// A context of its own has a storage of its own: what one test chose is not another's theme.
	ctx, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	p := &tab{T: t, ctx: ctx, url: "file://" + path}
	t.Cleanup(func() {
		cancel()
		closeTab()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.said) > 0 {
			t.Errorf("the page complained: %q", p.said)
		}
		if len(p.requests) != 1 || p.requests[0] != p.url {
			t.Errorf("the page asked for %q", p.requests)
		}
	})
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatal(err)
	}
	p.do(call(network.Enable, network.EnableParams{}), call(log.Enable, cdp.Empty{}), screen(1200, 1), media("", "light"))
	p.do(before...)
	p.do(chromedp.Navigate(p.url))
	return p
}

func (p *tab) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		for _, a := range e.Args {
			p.said = append(p.said, string(a.Value)+a.Description)
		}
	case *runtime.EventExceptionThrown:
		p.said = append(p.said, fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded: // what the policy refused is told here
		p.said = append(p.said, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") { // the icon that is none
			p.requests = append(p.requests, e.Request.URL)
		}
	}
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// call is a command of the browser's protocol whose answer says nothing.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func screen(width int64, scale float64) chromedp.Action[chromedp.Void] {
	return call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: scale})
}

func media(name, scheme string) chromedp.Action[chromedp.Void] {
	m := emulation.SetEmulatedMediaParams{Media: name, Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}} // where things are stays true
	if scheme != "" {
		m.Features = append(m.Features, &emulation.MediaFeature{Name: "prefers-color-scheme", Value: scheme})
	}
	return call(emulation.SetEmulatedMedia, m)
}

func scripts(disabled bool) chromedp.Action[chromedp.Void] {
	return call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: disabled})
}

// js is a statement, run.
func js(statement string) chromedp.Action[chromedp.Void] {
	return chromedp.Evaluate[chromedp.Void](statement)
}

func press(selector, key string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent(key))
}

// eval is a value of the page.
func eval[T any](p *tab, expression string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits until the page is so.
func (p *tab) await(condition string) {
	p.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Poll[chromedp.Void]("("+condition+") ? {} : false")); err != nil {
		p.Fatalf("it never came that %s: %v", condition, err)
	}
}

func (p *tab) drawn() *tab {
	p.Helper()
	p.await(`document.documentElement.dataset.drawn`)
	return p
}

func TestChartsAreDrawnFromTheRecords(t *testing.T) {
	_, st := demo(t)
	p := open(t, demoPage(t)).drawn()
	if n := eval[int](p, `[...document.querySelectorAll(".chart")].filter((c) => c.querySelector("svg") && c.clientHeight > 50).length`); n != 6 {
		t.Errorf("%d charts are drawn, want 6", n)
	}
	// A mark a load, in the colour of its verdict, beside the one of the legend.
	verdicts := map[record.Verdict]int{}
	for _, c := range st.Cells {
		if c.Cell == st.Best.Cell {
			for _, o := range c.Observations {
				verdicts[o.Verdict]++
			}
		}
	}
	for v, want := range verdicts {
		n := eval[int](p, fmt.Sprintf(`document.querySelectorAll('#c-rates svg path[fill="' + getComputedStyle(document.documentElement).getPropertyValue("--%s").trim() + '"]').length`, v))
		if n != want+1 {
			t.Errorf("%s: %d marks and one in the legend, want %d", v, n-1, want)
		}
	}
	for chart, want := range map[string]int{"c-time": 6, "c-grid": 4, "c-jobs": 4} {
		n := eval[int](p, fmt.Sprintf(`echarts.getInstanceByDom(document.getElementById(%q)).getOption().series.filter((s) => !s.silent).reduce((n, s) => n + s.data.length, 0)`, chart))
		if n != want {
			t.Errorf("%s has %d marks, want %d", chart, n, want)
		}
	}
	for _, words := range []string{"★ 1.048", "▽ < 1.572", "limit 7000 ms", "under load", "node1", "Latency, ms", "Request rate, req/s", "Time, UTC"} {
		if !eval[bool](p, fmt.Sprintf(`[...document.querySelectorAll("svg text")].some((t) => t.textContent === %q)`, words)) {
			t.Errorf("no chart says %q", words)
		}
	}
}

func TestAMarkTellsWhatItIsWhenHovered(t *testing.T) {
	p := open(t, demoPage(t)).drawn()
	p.do(chromedp.ScrollIntoView(chromedp.CSS("#c-rates")))
	at := eval[[]float64](p, `(() => {
		const box = document.getElementById("c-rates"), c = echarts.getInstanceByDom(box), s = c.getOption().series.find((s) => s.name === "P99 E2EL, miss");
		const [x, y] = c.convertToPixel({xAxisIndex: 0, yAxisIndex: 0}, s.data[0].value), r = box.getBoundingClientRect();
		return [r.left + x, r.top + y];
	})()`)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0]-3, at[1]), chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1]))
	p.await(`[...document.querySelectorAll("#c-rates .tip")].some((t) => t.offsetParent && t.textContent.includes("s16-t2048, run 1.3") && t.textContent.includes("7387 ms"))`)
}

func TestATableOpensByItsButtonAndIsCopied(t *testing.T) {
	p := open(t, demoPage(t)).drawn()
	buttons := eval[[]string](p, `[...document.querySelectorAll("[data-table]")].map((b) => b.dataset.table)`)
	if len(buttons) != 7 {
		t.Errorf("%d tables", len(buttons))
	}
	for _, id := range buttons {
		shown := fmt.Sprintf(`document.getElementById(%q).querySelector("td").offsetParent !== null`, id)
		expanded := fmt.Sprintf(`document.querySelector('[data-table=%q]').ariaExpanded`, id)
		if eval[bool](p, shown) || eval[string](p, expanded) != "false" {
			t.Errorf("%s is open from the start", id)
		}
		p.do(press(fmt.Sprintf(`[data-table=%q]`, id), kb.Enter))
		if !eval[bool](p, shown) || eval[string](p, expanded) != "true" {
			t.Errorf("%s does not open", id)
		}
	}
	// The clipboard is the browser's business; what would be put there is seen where it is.
	p.do(js(`Object.defineProperty(navigator, "clipboard", {value: {writeText: async (t) => { window.copied = t; }}})`),
		chromedp.Click(chromedp.CSS(`[data-copy="t-jobs"]`)))
	p.await(`window.copied !== undefined`)
	lines := strings.Split(strings.TrimSpace(eval[string](p, `window.copied`)), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[1], "probe-1\tnode1\t2026-11-30 19:55:37\t") || strings.Count(lines[1], "\t") != 6 {
		t.Errorf("copied: %q", lines)
	}
}

func TestACellIsChosenByKeyboardAndByMouse(t *testing.T) {
	p := open(t, demoPage(t)).drawn()
	chart := func() string { return eval[string](p, `document.getElementById("c-rates").ariaLabel`) }
	if !strings.Contains(chart(), "s16-t2048: 12 loads") || eval[string](p, `document.getElementById("cell").selectedOptions[0].textContent`)[:9] != "s16-t2048" {
		t.Errorf("at first there is %q", chart())
	}
	p.do(press("#board", kb.ArrowRight+kb.Enter))
	p.await(`document.getElementById("c-rates").ariaLabel.includes("s16-t4096: 10 loads")`)
	if got := eval[string](p, `document.querySelector("#t-rates caption").textContent + document.querySelectorAll("#t-rates tbody tr").length`); got != "Loads of s16-t409610" {
		t.Errorf("the table shows %q", got)
	}
	if got := eval[string](p, `document.getElementById("said").textContent`); !strings.HasPrefix(got, "Selected s16-t4096: ") {
		t.Errorf("a reader hears %q", got)
	}
	p.do(js(`document.getElementById("cell").value = "0"`), js(`document.getElementById("cell").dispatchEvent(new Event("change"))`))
	p.await(`document.getElementById("c-rates").ariaLabel.includes("s4-t2048: 1 loads")`)
	at := eval[[]float64](p, `(() => {
		document.getElementById("c-grid").scrollIntoView({block: "center", behavior: "instant"});
		const box = document.getElementById("c-grid"), c = echarts.getInstanceByDom(box), [x, y] = c.convertToPixel({xAxisIndex: 0, yAxisIndex: 0}, [1, 0]), r = box.getBoundingClientRect();
		return [r.left + x, r.top + y];
	})()`)
	p.do(chromedp.MouseClickXY(at[0], at[1]))
	p.await(`document.getElementById("c-rates").ariaLabel.includes("s4-t4096: 1 loads")`)
	p.do(js(`document.getElementById("lens").value = "1"`), js(`document.getElementById("lens").dispatchEvent(new Event("change"))`))
	p.await(`document.getElementById("c-rates").ariaLabel.startsWith("P99 TTFT")`)
}

func TestThePageIsDarkWhereTheSystemIsAndWhereOneWishes(t *testing.T) {
	p := open(t, demoPage(t)).drawn()
	paper := `getComputedStyle(document.body).backgroundColor`
	const light, dark = "rgb(253, 253, 251)", "rgb(21, 24, 28)"
	inks := func() string {
		return eval[string](p, `document.querySelector("#c-time svg text").getAttribute("fill")`)
	}
	before := inks()
	if got := eval[string](p, paper); got != light {
		t.Errorf("at first it is %s", got)
	}
	p.do(media("", "dark"))
	p.await(`document.getElementById("theme").ariaPressed === "true"`)
	if got := eval[string](p, paper); got != dark || inks() == before {
		t.Errorf("in a dark system it is %s, with charts in %s", got, inks())
	}
	p.do(chromedp.Click(chromedp.CSS("#theme")))
	if got := eval[string](p, paper); got != light || inks() != before {
		t.Errorf("when asked to be light it is %s, with charts in %s", got, inks())
	}
}

// In both themes text is told from its ground as WCAG AA asks (4.5 to 1).
func TestTextHasContrastInBothThemes(t *testing.T) {
	p := open(t, demoPage(t)).drawn()
	for _, theme := range []string{"light", "dark"} {
		low := eval[[]string](p, fmt.Sprintf(`(() => {
			document.documentElement.dataset.theme = %q;
			const style = getComputedStyle(document.documentElement), get = (n) => style.getPropertyValue("--" + n).trim();
			const light = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255).map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4).reduce((s, c, i) => s + c * [.2126, .7152, .0722][i], 0);
			const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05); };
			const pairs = [];
			for (const ground of ["paper", "raised"]) for (const text of ["ink", "muted", "accent", "warn"]) pairs.push([get(text), get(ground), text + " on " + ground]);
			pairs.push([get("ink"), get("warn-paper"), "ink on warn-paper"]);
			for (let h = 1; h <= 9; h++) pairs.push([h >= 7 ? get("on-accent") : h >= 5 ? get("h-ink") : get("ink"), get("h" + h), "heat " + h]);
			return pairs.filter(([a, b]) => ratio(a, b) < 4.5).map(([a, b, n]) => n + " " + ratio(a, b).toFixed(2));
		})()`, theme))
		if len(low) > 0 {
			t.Errorf("%s: %q", theme, low)
		}
	}
}

func TestHostileStringsStayText(t *testing.T) {
	// All at once: what one of them opened, another would close.
	for _, s := range []string{strings.Join(hostile, " "), hostile[0]} {
		html, err := page.HTML(poisoned(t, s))
		if err != nil {
			t.Fatal(err)
		}
		p := open(t, html, screen(360, 1)).drawn()
		p.do(press("#board", kb.ArrowRight+kb.Enter))
		if eval[bool](p, `"evil" in window || document.querySelector("img, body > script + svg, [onload], [onerror]") !== null || document.scripts.length !== 4`) {
			t.Errorf("%.60q became markup", s)
		}
		if w := eval[int](p, `document.documentElement.scrollWidth`); w > 360 {
			t.Errorf("%.60q: the page is %d wide on a screen of 360", s, w)
		}
	}
}

func TestThePageFitsANarrowScreen(t *testing.T) {
	p := open(t, demoPage(t), screen(360, 2)).drawn()
	p.do(js(`document.querySelectorAll("[data-table]").forEach((b) => b.click())`))
	if w := eval[int](p, `document.documentElement.scrollWidth`); w > 360 {
		t.Errorf("it is %d wide", w)
	}
}

func TestWithoutAScriptAllTablesAreOpenAndNoButtonIsThere(t *testing.T) {
	p := open(t, demoPage(t), scripts(true))
	p.do(scripts(false)) // the page's own has not run; the questions below may
	if got := eval[string](p, `[...document.querySelectorAll("table")].filter((t) => t.offsetParent).length + " tables, " + [...document.querySelectorAll("button, .chart, select")].filter((e) => e.offsetParent).length + " controls"`); got != "12 tables, 0 controls" {
		t.Errorf("there are %s", got)
	}
}

func TestThePagePrintsLightWithAllTables(t *testing.T) {
	p := open(t, demoPage(t)).drawn()
	p.do(chromedp.Click(chromedp.CSS("#theme")), media("print", ""))
	if got := eval[string](p, `[getComputedStyle(document.body).backgroundColor, [...document.querySelectorAll("table")].filter((t) => t.offsetParent).length, [...document.querySelectorAll("button, select")].filter((e) => e.offsetParent).length, [...document.querySelectorAll(".chart svg")].length].join(" ")`); got != "rgb(255, 255, 255) 12 0 6" {
		t.Errorf("ground, tables, controls, charts: %s", got)
	}
	p.do(media("", ""), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		pdf, err := cdp.Call(ctx, target, cdpage.PrintToPDF, cdpage.PrintToPDFParams{})
		if err == nil && len(pdf.Data) < 50_000 {
			t.Errorf("a PDF of %d bytes", len(pdf.Data))
		}
		return err
	}))
	p.await(`document.documentElement.dataset.theme === "dark"`) // as before
}

func TestAScreenReaderFindsNamedRegionsTablesAndControls(t *testing.T) {
	p := open(t, demoPage(t)).drawn()
	p.do(js(`document.querySelectorAll("[data-table]").forEach((b) => b.click())`))
	byRole := map[string][]string{}
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		tree, err := cdp.Call(ctx, target, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		for _, n := range tree.Nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			var role, name string
			if err := json.Unmarshal(n.Role.Value, &role); err != nil {
				return err
			}
			if n.Name != nil {
				if err := json.Unmarshal(n.Name.Value, &name); err != nil {
					return err
				}
			}
			byRole[role] = append(byRole[role], name)
		}
		return err
	}))
	for role, least := range map[string]int{"region": 15, "table": 12, "button": 16, "combobox": 3, "navigation": 1, "main": 1, "image": 6, "application": 1, "meter": 1, "heading": 9} {
		if n := len(byRole[role]); n < least {
			t.Errorf("%d of role %s, want at least %d (%v)", n, role, least, byRole[role])
		}
		if role != "main" && slices.Contains(byRole[role], "") {
			t.Errorf("a %s has no name: %q", role, byRole[role])
		}
	}
	names := slices.Sorted(slices.Values(byRole["button"]))
	if len(slices.Compact(names)) != len(byRole["button"]) {
		t.Errorf("buttons with the same name: %q", byRole["button"])
	}
	// Headings go down a level at a time.
	if !eval[bool](p, `[...document.querySelectorAll("h1, h2, h3")].map((h) => Number(h.tagName[1])).every((l, i, all) => i === 0 ? l === 1 : l - all[i - 1] <= 1)`) {
		t.Error("a level of headings is left out")
	}
}

func TestAPageOfTenThousandCellsCanBeUsed(t *testing.T) {
	html, err := largest()
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, html).drawn()
	if n := eval[int](p, `[...document.querySelectorAll(".chart")].filter((c) => c.querySelector("canvas, svg")).length`); n != 5 {
		t.Errorf("%d charts are drawn", n)
	}
	p.do(press("#board", kb.ArrowRight+kb.Enter))
	p.await(`document.getElementById("said").textContent.startsWith("Selected ")`)
	if n := eval[int](p, `document.querySelectorAll("#t-rates tbody tr").length`); n != 15 {
		t.Errorf("%d loads of the cell", n)
	}
}

// The picture in the README, with -screenshot.
func TestThePictureOfThePage(t *testing.T) {
	if !*screenshot {
		t.Skip("only with -screenshot")
	}
	p := open(t, demoPage(t)).drawn()
	bottom := eval[float64](p, `document.getElementById("c-rates").getBoundingClientRect().bottom + scrollY + 40`)
	var png []byte
	p.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		beyond := true
		shot, err := cdp.Call(ctx, target, cdpage.CaptureScreenshot, cdpage.CaptureScreenshotParams{CaptureBeyondViewport: &beyond, Clip: &cdpage.Viewport{Width: 1200, Height: bottom, Scale: .8}})
		png = shot.Data
		return err
	}))
	if len(png) > 250_000 {
		t.Fatalf("the picture is %d bytes", len(png))
	}
	path := filepath.Join("..", "..", "..", "docs", "img", "report.png")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		t.Fatal(err)
	}
}
