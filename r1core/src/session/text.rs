//! From the bytes of two channels to events: whole characters, stop texts.

use std::collections::VecDeque;

use super::Event;
use super::stop::StopFilter;
use crate::reasoning::{Channel, Pieces};
use crate::tokenizer::Utf8Stream;

/// Collects a sequence's text and queues it as events.
#[derive(Debug)]
pub(super) struct Text {
    thought: Utf8Stream,
    answer: Utf8Stream,
    stop: StopFilter,
    events: VecDeque<Event>,
}

impl Text {
    pub(super) fn new(stops: &[String]) -> Text {
        Text {
            thought: Utf8Stream::new(),
            answer: Utf8Stream::new(),
            stop: StopFilter::new(stops),
            events: VecDeque::new(),
        }
    }

    /// The oldest queued event.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Queues an event that is not text.
    pub(super) fn queue(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Whether a stop text has ended the text.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.reached()
    }

    /// Queues the text of some pieces; true when a stop text was reached.
    pub(super) fn push(&mut self, pieces: Pieces<'_>) -> bool {
        for (channel, bytes) in pieces {
            match channel {
                Channel::Thought => {
                    let text = self.thought.push(bytes).to_owned();
                    self.queue_text(Event::Thought, text);
                }
                Channel::Answer => {
                    let (text, stopped) = self.stop.push(self.answer.push(bytes));
                    self.queue_text(Event::Answer, text);
                    if stopped {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Queues the last pieces and everything held back, unless a stop text has ended the text.
    pub(super) fn finish(&mut self, pieces: Pieces<'_>) {
        if self.stop.reached() || self.push(pieces) {
            return;
        }
        let thought = self.thought.flush().to_owned();
        self.queue_text(Event::Thought, thought);
        let (answer, stopped) = self.stop.push(self.answer.flush());
        self.queue_text(Event::Answer, answer);
        if !stopped {
            let held = self.stop.flush();
            self.queue_text(Event::Answer, held);
        }
    }

    fn queue_text(&mut self, event: fn(String) -> Event, text: String) {
        if !text.is_empty() {
            self.events.push_back(event(text));
        }
    }
}
