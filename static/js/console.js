/* The console's behaviour: plain modules, loaded once per page. Pages work without any of it; it makes them live and quick.

   What pages write, and who listens:

   data-live="hold case:0190…"   look again (event "nudge") when the socket names that kind or that one thing       live.js
   data-key="a"                  pressed by the key of that letter                                                 keyboard.js
   data-go="q"                   a link followed by the keys g q                                                   keyboard.js
   data-opens="id"  data-closes  open that <dialog>, close the one around                                          dialogs.js
   data-shows="list"             on a phone: back from the detail to its list                                      panes.js
   data-command="theme"          runs a command: theme, shortcuts, palette                                         palette.js
   data-every="1"  data-pauses   a list that follows calls at most that often; holds such lists still               stream.js, where a page loads it
   <time-left> <copy-text> <timed-notice>      custom elements                           time-left.js copy-text.js notices.js

   Events that servers send (HX-Trigger header): "notice" {text, tone}.
   Events for other modules, on document: "changed" {verb, refs}, "live-state" {state: live | reconnecting | polling}.

   Nothing here writes HTML or evaluates text: the page runs under Trusted Types. */

import "./theme.js";
import "./time-left.js";
import "./copy-text.js";
import "./notices.js";
import "./dialogs.js";
import "./panes.js";
import "./palette.js";
import "./keyboard.js";
import "./live.js";
