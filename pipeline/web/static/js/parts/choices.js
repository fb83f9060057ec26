/** Language and colours. They stand in the bar on top, and on a phone in the help, where there is room. */

import { h } from "../dom.js";
import { LANGUAGES, language, t } from "../i18n.js";
import { setTheme, theme, THEMES } from "../theme.js";

/** Both choices; `changed` is told of another language. */
export function choices(changed) {
  const languages = h(
    "select",
    { class: "bare", "aria-label": t("language"), onchange: () => changed(languages.value) },
    Object.entries(LANGUAGES).map(([code, name]) =>
      h("option", { value: code, lang: code, selected: code === language }, name),
    ),
  );
  const themes = h(
    "select",
    { class: "bare", "aria-label": t("theme"), onchange: () => setTheme(themes.value) },
    THEMES.map((name) => h("option", { value: name, selected: name === theme() }, t(`theme.${name}`))),
  );
  return h("div", { class: "choices" }, languages, themes);
}
