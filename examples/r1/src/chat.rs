//! `r1 chat`: a conversation on the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use r1core::Chat;

use crate::args::ChatArgs;
use crate::interrupt::{self, Thought};
use crate::output::{Display, Outcome, report_unfinished};
use crate::{open, run};

pub(crate) fn run(args: &ChatArgs) -> Outcome {
    let model = open::model(&args.reply.model)?;
    let session = model.session(open::session_options(&args.reply.model, Some(&args.reply.session)))?;
    let mut chat = Chat::new(session, run::chat_options(&args.reply.template)?)?;
    run::warn(&chat);
    let options = args.reply.options()?;
    let prompt = if io::stdin().is_terminal() { "> " } else { "" };
    if !prompt.is_empty() {
        eprintln!("Ctrl-C asks for the answer now, a second one stops the reply; an empty line or Ctrl-D leaves.");
    }
    let mut line = String::new();
    loop {
        interrupt::rearm();
        eprint!("{prompt}");
        io::stderr().flush()?;
        line.clear();
        if io::stdin().lock().read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(());
        }
        interrupt::rearm();
        let mut display = Display::new(false);
        let reply = chat.send(line.trim_end_matches(['\r', '\n']), &options)?;
        interrupt::answer_first(Thought::Reply(reply.think_handle()));
        for event in reply {
            if let Some(done) = display.show(&event?)? {
                report_unfinished(done);
            }
        }
    }
}
