// Search in the sections that the build wrote into sections.js: titles first, then text, each with the line that was found.
(() => {
  const MOST = 60, AROUND = 90;
  const plain = text => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const stems = word => word.length > 4 ? word.replace(/(ies|es|s)$/, "") : word;
  const wordsOf = query => plain(query).split(/[^\p{L}\p{N}_.-]+/u).filter(Boolean).map(stems);

  // A word counts where it begins a word; the rest of that word is marked with it.
  const places = (text, word) => {
    const found = [];
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (!/[\p{L}\p{N}_]/u.test(text[at - 1] || " ")) found.push(at);
    }
    return found;
  };
  const whole = (text, at) => text.slice(at).match(/^[\p{L}\p{N}_]*/u)[0].length;

  // Where the words stand one after the other.
  const phrase = (text, words) => places(text, words[0]).filter(start => {
    let at = start;
    return words.every((word, i) => {
      if (i) at += text.slice(at).match(/^[^\p{L}\p{N}_]*/u)[0].length;
      const here = text.startsWith(word, at);
      at += whole(text, at);
      return here;
    });
  });

  // The line is one of the text, or of the code where the text has none of the words.
  const lineOf = (texts, words) => {
    for (const text of texts) {
      const low = plain(text), together = words.length > 1 ? phrase(low, words) : [];
      const said = words.map(word => places(low, word)).filter(found => found.length).sort((a, b) => a.length - b.length);
      if (said.length) return { text, at: (together.length ? together : said[0])[0] };
    }
    return { text: texts[0] || texts[1], at: 0 };
  };

  const search = query => {
    const words = wordsOf(query), results = [];
    if (!words.length) return results;
    for (const [page, [pageTitle, sections]] of Object.entries(window.SECTIONS)) {
      for (const [anchor, title, text, code] of sections) {
        const heading = plain(title || pageTitle), body = plain(text), program = plain(code);
        const named = words.map(word => places(heading, word).length);
        const said = words.map(word => places(body, word).length), coded = words.map(word => places(program, word).length);
        if (!words.every((_, i) => named[i] || said[i] || coded[i])) continue;
        const together = words.length > 1 ? 60 * !!phrase(heading, words).length + 40 * !!phrase(body, words).length : 0;
        // A long section has every word somewhere: there, to be often says less.
        const often = said.reduce((sum, count, i) => sum + Math.min(count + coded[i] / 4, 5), 0) / Math.max(1, body.length / 4000);
        const score = named.filter(Boolean).length / words.length * 100 + (title ? 0 : 5) + together + often
          - (/^(references|exercises)$/i.test(title) ? 20 : 0);
        results.push({ page, anchor, pageTitle, title, words, score, ...lineOf([text, code], words) });
      }
    }
    return results.sort((a, b) => b.score - a.score || a.page.localeCompare(b.page));
  };

  const line = ({ text, at, words }) => {
    const from = at > AROUND ? text.indexOf(" ", at - AROUND) + 1 : 0, cut = text.slice(from, at + 2 * AROUND);
    const node = document.createElement("p"), low = plain(cut);
    node.className = "found-line";
    node.append(from ? "… " : "");
    let last = 0;
    const marks = words.flatMap(word => places(low, word).map(start => [start, whole(low, start)])).sort((a, b) => a[0] - b[0]);
    if (low.length === cut.length) for (const [start, length] of marks) {
      if (start < last || !length) continue;
      const mark = document.createElement("mark");
      mark.textContent = cut.slice(start, start + length);
      node.append(cut.slice(last, start), mark);
      last = start + length;
    }
    node.append(cut.slice(last), at + 2 * AROUND < text.length ? " …" : "");
    return node;
  };

  Search.query = query => {
    const found = search(query), root = document.documentElement.dataset.content_root || "./";
    Search.stopPulse?.();
    document.getElementById("search-progress")?.replaceChildren();
    Search.title.textContent = "Search Results";
    Search.status.textContent = found.length ? `${found.length} sections${found.length > MOST ? `, the first ${MOST} of them` : ""}.`
      : "Nothing found. Every word must stand in one section: try fewer, or a part of a word.";
    Search.output.replaceChildren(...found.slice(0, MOST).map(result => {
      const item = document.createElement("li"), link = document.createElement("a");
      link.href = `${root}${result.page}.html${result.title ? `#${result.anchor}` : ""}`;
      link.textContent = result.title ? `${result.pageTitle} › ${result.title}` : result.pageTitle;
      item.append(link, line(result));
      return item;
    }));
  };
})();
