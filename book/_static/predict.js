// Predict boxes: keep a guess in this browser, show it beside the truth, and say at the end of the chapter how well it went.
(() => {
  const KEY = "pinnedu-guesses", PAGE = DOCUMENTATION_OPTIONS.pagename;
  const VERDICTS = { hit: "That is it.", near: "Near.", far: "Far off." };
  const JUDGED = { hit: "right", near: "partly", far: "wrong" };

  const read = () => { try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; } };
  const write = all => { try { localStorage.setItem(KEY, JSON.stringify(all)); } catch { /* a private window: kept until it closes */ } };
  const memory = read();
  const kept = () => (memory[PAGE] ||= {});

  const make = (tag, words, attributes = {}) => {
    const node = document.createElement(tag);
    node.textContent = words;
    Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    return node;
  };

  // 0.03, 3e-2, 3·10^-2, 10⁻³, 1,000 and 3 % are all numbers; a fraction such as 1/3, too.
  const number = text => {
    const raised = "⁰¹²³⁴⁵⁶⁷⁸⁹";
    const plain = text.replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/g, digit => raised.indexOf(digit)).replace(/[⁻−–]/g, "-")
      .replace(/\s|%|times$/g, "").replace(/,(?=\d{3}\b)/g, "").replace(",", ".")
      .replace(/^10\^?(-\d+|(?<=\^)\d+)$/, "1e$1").replace(/[·×x*]10\^?(-?\d+)$/, "e$1");
    const [above, below] = plain.split("/");
    return below ? Number(above) / Number(below) : plain === "" ? NaN : Number(plain);
  };

  const judge = (form, said) => {
    const { kind, truth, by } = form.dataset;
    if (kind === "choice") return said === truth ? "hit" : "far";
    const guessed = number(said), right = Number(truth);
    if (by === "difference") {
      const off = Math.abs(guessed - right);
      return off <= 0.25 ? "hit" : off <= 1 ? "near" : "far";
    }
    const off = guessed * right > 0 ? Math.exp(Math.abs(Math.log(guessed / right))) : guessed === right ? 1 : Infinity;
    return off <= 1.25 ? "hit" : off <= 3 ? "near" : "far";
  };

  const apart = (form, said) => {
    const { kind, truth, by } = form.dataset;
    const guessed = number(said), right = Number(truth);
    if (kind !== "number" || judge(form, said) === "hit") return "";
    if (by === "difference" || guessed * right <= 0) return ` You are off by ${Number(Math.abs(guessed - right).toPrecision(2))}.`;
    const factor = Math.max(guessed / right, right / guessed);
    const words = factor < 10 ? factor.toPrecision(2) : Math.round(factor).toLocaleString("en");
    return ` Your guess is ${words} times too ${guessed > right ? "large" : "small"}.`;
  };

  const withUnit = (form, said) => form.dataset.kind === "number" && form.dataset.unit && !said.includes("%")
    ? `${said} ${form.dataset.unit}` : said;

  const forms = [...document.querySelectorAll("form.guess")];

  const show = form => {
    const { said } = kept()[form.dataset.name], status = form.querySelector(".guess-said");
    const details = form.nextElementSibling?.matches("details.guess-truth") ? form.nextElementSibling : null;
    if (form.dataset.kind === "words") {
      status.textContent = details ? "Kept. Compare." : "Kept. Read on, and judge it at the end of the chapter.";
    } else {
      const beside = make("span", "", { class: "guess-beside" });
      [["Your guess", withUnit(form, said)], ["Computed", form.dataset.shown]].forEach(([name, value]) => {
        const one = make("span", `${name} `);
        one.append(make("strong", value));
        beside.append(one);
      });
      const verdict = make("span", `${VERDICTS[judge(form, said)]}${apart(form, said)}`);
      status.replaceChildren(beside, verdict);
    }
    if (details) { details.hidden = false; details.open = true; }
  };

  const summary = document.querySelector(".guess-summary");
  const verdict = form => {
    const guess = kept()[form.dataset.name];
    return form.dataset.kind === "words" ? guess.judged : judge(form, guess.said);
  };

  const summarize = () => {
    if (!summary) return;
    const made = forms.filter(form => kept()[form.dataset.name]);
    summary.hidden = made.length === 0;
    const count = name => made.filter(form => verdict(form) === name).length;
    const list = make("ul", "");
    made.forEach(form => {
      const { said } = kept()[form.dataset.name], item = make("li", "");
      const box = form.closest(".admonition");
      box.id ||= `box-${form.dataset.name}`;
      const asked = box.querySelector("p:not(.admonition-title)")?.cloneNode(true);
      asked?.querySelectorAll("mjx-container, .MathJax, .headerlink").forEach(formula => formula.replaceWith("…"));
      const question = (asked?.textContent || "").replace(/\s+/g, " ").trim();
      item.append(make("a", question.length > 90 ? `${question.slice(0, 88)}…` : question, { href: `#${box.id}` }));
      item.append(make("br", ""), `You: ${withUnit(form, said)}`);
      if (form.dataset.kind !== "words") item.append(`. Computed: ${form.dataset.shown}. ${VERDICTS[judge(form, said)]}`);
      else {
        const group = make("fieldset", "");
        group.append(make("legend", "You judge:"));
        Object.entries(JUDGED).forEach(([name, words]) => {
          const label = make("label", ""), radio = make("input", "", { type: "radio", name: `judge-${form.dataset.name}`, value: name });
          radio.checked = kept()[form.dataset.name].judged === name;
          radio.addEventListener("change", () => {
            kept()[form.dataset.name].judged = name;
            write(memory);
            total();
          });
          label.append(radio, ` ${words}`);
          group.append(label);
        });
        item.append(group);
      }
      list.append(item);
    });
    const title = make("p", "How well you guessed", { class: "guess-title" });
    const said = make("p", "", { role: "status" });
    const total = () => {
      const open = made.filter(form => !verdict(form)).length;
      said.textContent = `${made.length} of ${forms.length} questions answered: ${count("hit")} right, ${count("near")} near, `
        + `${count("far")} far off${open ? `, ${open} for you to judge` : ""}. Only this browser knows.`;
    };
    total();
    const forget = make("button", "Forget my guesses", { type: "button" });
    forget.addEventListener("click", () => {
      delete memory[PAGE];
      write(memory);
      forms.forEach(form => { form.reset(); form.querySelector(".guess-said").textContent = ""; });
      document.querySelectorAll("details.guess-truth").forEach(details => { details.hidden = true; details.open = false; });
      summarize();
    });
    summary.replaceChildren(title, said, list, forget);
  };

  forms.forEach(form => {
    const { name, kind } = form.dataset;
    form.hidden = false;
    if (form.nextElementSibling?.matches("details.guess-truth")) form.nextElementSibling.hidden = true; // until there is a guess
    if (kept()[name]) {
      const { said } = kept()[name];
      if (kind === "choice") [...form.querySelectorAll("input")].forEach(radio => { radio.checked = radio.value === said; });
      else form.querySelector("input, textarea").value = said;
      show(form);
    }
    form.querySelector("input")?.addEventListener("input", event => event.target.setCustomValidity(""));
    form.addEventListener("submit", event => {
      event.preventDefault();
      const said = new FormData(form).get(name).trim(), field = form.querySelector("input, textarea");
      if (kind === "number" && !Number.isFinite(number(said))) {
        field.setCustomValidity("Write a number, such as 12, 0.03, 1e-3 or 10^-3.");
        field.reportValidity();
        return;
      }
      if (!said) return;
      kept()[name] = { said };
      write(memory);
      show(form);
      summarize();
    });
  });
  summarize();
})();
