/* The sliders of a backtest: thresholds move, and what they count moves with them, without asking the server.

   #sliders   holds a fieldset[data-rule] per threshold rule, with input[data-part="soft | hard"], output[data-value] and b[data-count]
   #cells     JSON: {cells: [[rule, low, reached, risk, without, letters, count] …], days, approvers}

   A cell counts where low < soft <= reached. Its letters say what follows under and above hard, and the same where the solid part of the
   risk lies under soft: C contained, H held, B held with all others. containment/domain/backtest.py counts the same way. */

const CERTAIN = 101; // evidence that is conclusive reaches every threshold

export function at(cells, rule, soft, hard) {
  const found = { C: 0, H: 0, B: 0, ".": 0 };
  for (const [of, low, reached, risk, without, letters, count] of cells) {
    if (of !== rule || !(low < soft && soft <= reached)) continue;
    const thin = without < soft && reached !== CERTAIN && letters.slice(2) !== "..";
    found[letters[(thin ? 2 : 0) + (risk >= hard ? 1 : 0)]] += count;
  }
  return { contained: found.C, held: found.H, grouped: found.B };
}

function begin(form, told) {
  const rules = [...form.querySelectorAll("fieldset[data-rule]")];
  const input = (rule, part) => rule.querySelector(`input[data-part="${part}"]`);
  const write = (place, text) => place && (place.textContent = text);

  function count() {
    let contained = 0;
    let alone = 0;
    let grouped = 0;
    for (const rule of rules) {
      const soft = Number(input(rule, "soft").value);
      const hard = Number(input(rule, "hard").value);
      const found = at(told.cells, Number(rule.dataset.rule), soft, hard);
      contained += found.contained;
      alone += found.held;
      grouped += found.grouped;
      write(rule.querySelector('[data-value="soft"]'), soft);
      write(rule.querySelector('[data-value="hard"]'), hard);
      write(rule.querySelector('[data-count="contained"]'), found.contained);
      write(rule.querySelector('[data-count="held"]'), found.held + found.grouped);
    }
    const asks = alone + (grouped ? told.days : 0);
    const share = told.days && told.approvers ? asks / told.days / told.approvers : 0;
    const tiles = form.querySelector(".tile-row");
    write(tiles.querySelector('[data-count="contained"]'), contained);
    write(tiles.querySelector('[data-count="held"]'), alone + grouped);
    write(tiles.querySelector('[data-count="asks"]'), share.toFixed(2));
  }

  /* soft never lies above hard: the one that is moved takes the other along */
  form.addEventListener("input", (event) => {
    const rule = event.target.closest("fieldset[data-rule]");
    if (!rule) return;
    const soft = input(rule, "soft");
    const hard = input(rule, "hard");
    if (Number(soft.value) > Number(hard.value)) {
      if (event.target === soft) hard.value = soft.value;
      else soft.value = hard.value;
    }
    count();
  });
  form.querySelector("[data-count-button]").hidden = true;
  count(); // a browser may have kept where the sliders stood
}

const form = document.getElementById("sliders");
const cells = document.getElementById("cells");
if (form && cells) begin(form, JSON.parse(cells.textContent));
