//! What `tracing` sees of two callers of one key.
#![cfg(all(not(loom), feature = "tracing", feature = "metrics"))]

#[path = "support/table.rs"]
mod table;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneflight_core::{Begin, Group};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber, info_span};
use tracing_core::span::Current;

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    /// Rows of the table: spans, then events.
    seen: Arc<Mutex<[BTreeSet<table::Row>; 2]>>,
    spans: Arc<Mutex<u64>>,
}

/// What a span or an event says, but for the ids, which start at random.
#[derive(Default)]
struct Said {
    message: String,
    fields: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "id" | "flight" => {}
            name => self.fields += &format!(" {name}={value:?}"),
        }
    }
}

impl Log {
    fn say(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    fn see(&self, kind: usize, name: &str, metadata: &Metadata<'_>) {
        let fields = metadata
            .fields()
            .iter()
            .map(|field| field.name().to_string());
        let mut fields: Vec<_> = fields.filter(|field| field != "message").collect();
        fields.sort_unstable();
        self.seen.lock().unwrap()[kind].insert((name.to_string(), fields));
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "oneflight"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut said = Said::default();
        span.record(&mut said);
        let mut spans = self.spans.lock().unwrap();
        *spans += 1;
        let name = span.metadata().name();
        self.see(0, name, span.metadata());
        self.say(format!("new {name} {}{}", *spans, said.fields));
        Id::from_u64(*spans)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut said = Said::default();
        event.record(&mut said);
        self.see(1, &said.message, event.metadata());
        let parent = event.parent().map(Id::into_u64);
        self.say(format!("{} in {parent:?}{}", said.message, said.fields));
    }
    fn enter(&self, span: &Id) {
        self.say(format!("enter {}", span.into_u64()));
    }
    fn exit(&self, span: &Id) {
        self.say(format!("exit {}", span.into_u64()));
    }
    fn try_close(&self, _: Id) -> bool {
        true
    }
}

#[test]
fn a_flight_is_a_span_and_a_duplicate_an_event() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let group: Group<&str, u32> = Group::new();
        let Begin::Primary(primary) = group.begin("k") else {
            unreachable!()
        };
        let waiter = group.begin("k");
        let run = primary.run(async { 7 });
        assert_eq!(*futures_lite::future::block_on(run).unwrap(), 7);
        drop(waiter);
        drop(group.begin("k"));
    });
    let expected = [
        "new flight 1",
        "joined in None replayed=false",
        "enter 1",
        "exit 1",
        "settled in Some(1)",
        "new flight 2",
        "aborted in Some(2) cause=Dropped",
    ];
    assert_eq!(log.lines(), expected);
}

#[test]
fn spans_and_events_are_those_of_the_table_in_the_facades_documentation() {
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        let minute = Duration::from_secs(60);
        let build = Group::builder().name("charges").show_keys();
        let group: Group<&str, u32> = build.retain_for(minute).build();
        let Begin::Primary(primary) = group.begin("card") else {
            unreachable!()
        };
        primary.settle(7).unwrap();
        drop((group.begin("card"), group.begin("other")));
        group.close();
        drop(group.begin("other"));
    });
    let expected = [
        r#"new flight 1 group="charges" key="card""#,
        r#"settled in Some(1) group="charges""#,
        r#"joined in None group="charges" replayed=true"#,
        r#"new flight 2 group="charges" key="other""#,
        r#"aborted in Some(2) group="charges" cause=Dropped"#,
        r#"rejected in None group="charges" why=Closed"#,
    ];
    assert_eq!(log.lines(), expected);
    let seen = log.seen.lock().unwrap();
    assert_eq!(*seen, [table::rows("span"), table::rows("event")]);
}

#[test]
fn a_key_is_shown_only_if_the_builder_was_told_so() {
    /// Has a secret, and no `Debug` may say it.
    #[derive(PartialEq, Eq, Hash)]
    struct Secret;
    impl fmt::Debug for Secret {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("secret")
        }
    }
    let says = |shows: bool| {
        let log = Log::default();
        tracing::subscriber::with_default(log.clone(), || {
            let build = Group::builder().name("keyed".to_string());
            let build = if shows { build.show_keys() } else { build };
            let group: Group<Secret, u32> = build.build();
            let begun = group.begin(Secret);
            drop((group.begin(Secret), begun));
        });
        log.lines().join("\n").contains("secret")
    };
    assert_eq!([false, true].map(says), [false, true]);
}

/// Knows which spans are open, as a registry of spans does: a span is open while a handle or a child of it is.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    spans: HashMap<u64, Page>,
    entered: Vec<u64>,
    /// Who follows from whom.
    links: Vec<(&'static str, &'static str)>,
}

struct Page {
    metadata: &'static Metadata<'static>,
    parent: Option<u64>,
    handles: usize,
}

impl Pages {
    fn name(&self, id: u64) -> &'static str {
        self.spans[&id].metadata.name()
    }

    /// Also the parent's, if this was its last child.
    fn close(&mut self, id: u64) -> bool {
        let page = self.spans.get_mut(&id).expect("it is open");
        page.handles -= 1;
        if page.handles > 0 {
            return false;
        }
        if let Some(parent) = self.spans.remove(&id).and_then(|page| page.parent) {
            self.close(parent);
        }
        true
    }
}

impl Book {
    fn open(&self) -> Vec<&'static str> {
        let pages = self.0.lock().unwrap();
        let mut open: Vec<_> = pages.spans.keys().map(|id| pages.name(*id)).collect();
        open.sort_unstable();
        open
    }

    fn links(&self) -> Vec<(&'static str, &'static str)> {
        self.0.lock().unwrap().links.clone()
    }
}

impl Subscriber for Book {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, new: &Attributes<'_>) -> Id {
        let mut pages = self.0.lock().unwrap();
        let id = pages.spans.keys().max().map_or(1, |last| last + 1);
        let explicit = new.parent().map(Id::into_u64);
        let current = pages.entered.last().filter(|_| new.is_contextual());
        let parent = explicit.or(current.copied());
        if let Some(parent) = parent {
            pages.spans.get_mut(&parent).expect("it is open").handles += 1;
        }
        let (metadata, handles) = (new.metadata(), 1);
        let page = Page {
            metadata,
            parent,
            handles,
        };
        pages.spans.insert(id, page);
        Id::from_u64(id)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, span: &Id, from: &Id) {
        let mut pages = self.0.lock().unwrap();
        let link = (pages.name(span.into_u64()), pages.name(from.into_u64()));
        pages.links.push(link);
    }
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }
    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }
    fn clone_span(&self, span: &Id) -> Id {
        let mut pages = self.0.lock().unwrap();
        let page = pages.spans.get_mut(&span.into_u64());
        page.expect("it is open").handles += 1;
        span.clone()
    }
    fn try_close(&self, span: Id) -> bool {
        self.0.lock().unwrap().close(span.into_u64())
    }
    fn current_span(&self) -> Current {
        let pages = self.0.lock().unwrap();
        match pages.entered.last() {
            Some(id) => Current::new(Id::from_u64(*id), pages.spans[id].metadata),
            None => Current::none(),
        }
    }
}

#[test]
fn a_callers_span_closes_while_its_flight_continues() {
    let book = Book::default();
    tracing::subscriber::with_default(book.clone(), || {
        let group: Group<&str, u32> = Group::new();
        let first = info_span!("first").in_scope(|| group.begin("k"));
        assert_eq!(book.open(), ["flight"]);
        let second = info_span!("second").in_scope(|| group.begin("k"));
        assert_eq!(book.open(), ["flight"]);
        assert_eq!(book.links(), [("flight", "first"), ("second", "flight")]);
        drop((first, second));
        assert!(book.open().is_empty());
        // Outside of every span it follows from none.
        drop(group.begin("k"));
        assert_eq!(book.links().len(), 2);
    });
}
