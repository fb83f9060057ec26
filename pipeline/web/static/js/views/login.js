/** Asks for the token where the server wants one. */

import { post } from "../api.js";
import { h, text } from "../dom.js";
import { t } from "../i18n.js";

/** Show the form; `done` is called once the server knows us. */
export function show(main, { signal, done }) {
  const token = h("input", {
    id: "token",
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
    "aria-describedby": "token-error",
  });
  const error = h("p", { id: "token-error", class: "error", role: "alert" });
  const button = h("button", { class: "main", type: "submit" }, t("login.enter"));
  const enter = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await post("api/session", { token: token.value.trim() });
      await done();
    } catch (refusal) {
      text(error, refusal.status === 401 || refusal.status === 403 ? t("login.wrong") : refusal.message);
      token.select();
      token.focus();
    } finally {
      button.disabled = false;
    }
  };
  main.replaceChildren(
    h(
      "form",
      { class: "login card", onsubmit: enter, signal },
      h("h1", {}, t("login.title")),
      h("p", {}, t("login.why")),
      h("label", { for: "token" }, t("login.token")),
      token,
      error,
      button,
    ),
  );
  token.focus();
}
