use std::sync::Arc;

use futures_util::FutureExt as _;
use sandbox_protocol::limits::Limit;
use sandbox_protocol::{ErrorBody, ErrorCode};

use super::part::MEMORY_FACTOR;
use super::*;
use crate::quota::{Buffers, Reclaim};
use sandbox_protocol::event::{self, MAX_OUTPUT};

#[derive(Debug)]
struct NothingToReclaim;

impl Reclaim for NothingToReclaim {
    fn reclaim(&self, _: u64) -> bool {
        false
    }
}

fn budget(bytes: u64) -> LogBudget {
    let limit = Limit {
        name: "",
        value: bytes,
    };
    LogBudget::new(Buffers::new(limit), limit, Arc::new(NothingToReclaim))
}

fn log(limit: u64, lingers: bool) -> EventLog {
    EventLog::new(limit, lingers, budget(1 << 30))
}

/// Appends an event with `bytes` of output.
fn write(log: &EventLog, stream: OutputStream, bytes: usize) {
    log.append(stream, &mut vec![b'x'; bytes]);
}

/// The types and ids of the events behind `cursor`.
fn events(log: &EventLog, mut cursor: u64, stream: Option<OutputStream>) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    while let Next::Events(events) = log.next(&mut cursor, stream) {
        for event in event::split(&events) {
            let (kind, _) = event::parts(event).unwrap();
            found.push((kind.to_owned(), event::id_of(event).unwrap()));
        }
    }
    found
}

fn named(events: &[(&str, u64)]) -> Vec<(String, u64)> {
    events
        .iter()
        .map(|(kind, id)| ((*kind).to_owned(), *id))
        .collect()
}

#[test]
fn the_first_and_the_last_part_are_kept_with_a_gap_between() {
    let log = log(3000, false);
    for _ in 0..10 {
        write(&log, OutputStream::Stdout, 1000);
    }
    log.finish(Ok(Exit::default()));
    let kept = [
        "stdout", "stdout", "stdout", "gap", "stdout", "stdout", "stdout", "exit",
    ];
    let ids = [1, 2, 3, 7, 8, 9, 10, 11];
    let expected: Vec<_> = kept.into_iter().zip(ids).collect();
    assert_eq!(events(&log, 0, None), named(&expected));
    // A cursor inside the gap.
    assert_eq!(events(&log, 5, None)[..2], named(&[("gap", 7), ("stdout", 8)]));
    assert_eq!(events(&log, 11, None), []);
    let written = log.written();
    assert_eq!(
        (written.stdout, written.stderr, written.is_truncated),
        (10_000, 0, true)
    );
}

#[test]
fn a_piece_larger_than_the_limit_is_kept_with_the_exit() {
    let log = log(1000, false);
    for _ in 0..4 {
        write(&log, OutputStream::Stdout, 5000);
    }
    log.finish(Ok(Exit::default()));
    let expected = [("stdout", 1), ("gap", 3), ("stdout", 4), ("exit", 5)];
    assert_eq!(events(&log, 0, None), named(&expected));
}

#[test]
fn a_reader_of_one_output_gets_no_event_of_the_other_but_every_gap() {
    let log = log(2000, false);
    for stream in [OutputStream::Stdout, OutputStream::Stderr] {
        (0..6).for_each(|_| write(&log, stream, 500));
    }
    log.finish(Ok(Exit::default()));
    let expected = [
        ("gap", 8),
        ("stderr", 9),
        ("stderr", 10),
        ("stderr", 11),
        ("stderr", 12),
        ("exit", 13),
    ];
    assert_eq!(events(&log, 0, Some(OutputStream::Stderr)), named(&expected));
    assert_eq!(events(&log, 0, Some(OutputStream::Stdout)).len(), 6);
}

#[test]
fn a_reader_continues_within_the_events_of_one_read() {
    let log = log(1 << 20, false);
    write(&log, OutputStream::Stdout, 3 * MAX_OUTPUT + 1);
    let expected = [("stdout", 3), ("stdout", 4)];
    assert_eq!(events(&log, 2, None), named(&expected));
}

#[test]
fn output_is_encoded_when_it_is_read_or_awaited_and_always_the_same() {
    let whole = |log: &EventLog| {
        let (mut cursor, mut wire) = (0, Vec::new());
        while let Next::Events(events) = log.next(&mut cursor, None) {
            wire.extend_from_slice(&events);
        }
        wire
    };
    let text = "é🦀\n".repeat(MAX_OUTPUT / 3);
    let [raw, awaited] = [false, true].map(|is_awaited| {
        let log = log(1 << 20, false);
        if is_awaited {
            log.connect(0, OwnerKind::Client);
        }
        log.append(OutputStream::Stdout, &mut text.clone().into_bytes());
        log.append(OutputStream::Stderr, &mut vec![0xff]);
        log
    });
    let is_encoded = |log: &EventLog| -> Vec<bool> {
        let state = log.state();
        state
            .after(0)
            .map(|chunk| !chunk.clone().share().encode())
            .collect()
    };
    let memory = |log: &EventLog| log.state().head.memory;
    assert_eq!(is_encoded(&awaited), [true, true]);
    assert_eq!(is_encoded(&raw), [false, false]);
    let before = memory(&raw);
    assert_eq!(before, memory(&awaited));
    // A reader of one output encodes nothing of the other.
    events(&raw, 0, Some(OutputStream::Stderr));
    assert_eq!(is_encoded(&raw), [false, true]);
    assert_eq!(whole(&raw), whole(&awaited));
    assert_eq!(is_encoded(&raw), [true, true]);
    assert_eq!(memory(&raw), before);
    let mut output = Vec::new();
    event::split(&whole(&raw)).for_each(|event| event::decode_output(event, &mut output));
    assert_eq!(output, [text.as_bytes(), b"\xff"].concat());
}

#[test]
fn output_that_nobody_has_read_grows_into_large_events() {
    let log = log(1 << 20, false);
    (0..10_000).for_each(|_| write(&log, OutputStream::Stdout, 10));
    let all = [("stdout", 1), ("stdout", 2), ("stdout", 3)];
    assert_eq!(log.last_id(), 3);
    assert_eq!(events(&log, 0, None), named(&all));
    // An event that a reader has got never changes.
    write(&log, OutputStream::Stdout, 10);
    assert_eq!(events(&log, 3, None), named(&[("stdout", 4)]));
    write(&log, OutputStream::Stderr, 10);
    write(&log, OutputStream::Stderr, 10);
    write(&log, OutputStream::Stdout, 10);
    assert_eq!(events(&log, 4, None), named(&[("stderr", 5), ("stdout", 6)]));
    let owner = log.connect(6, OwnerKind::Client);
    write(&log, OutputStream::Stdout, 10);
    log.disconnect(owner);
    write(&log, OutputStream::Stdout, 10);
    assert_eq!(events(&log, 6, None), named(&[("stdout", 7), ("stdout", 8)]));
    assert_eq!(log.written().stdout, 100_040);
}

#[test]
fn without_memory_a_log_keeps_only_its_last_piece() {
    let log = EventLog::new(1 << 20, false, budget(0));
    (0..100).for_each(|_| write(&log, OutputStream::Stdout, 10_000));
    let state = log.state();
    assert!(state.head.memory + state.tail.memory < 20_000);
    assert!(state.is_truncated);
}

#[test]
fn many_small_events_take_bounded_memory() {
    let log = log(64 * 1024, false);
    for _ in 0..10_000 {
        write(&log, OutputStream::Stdout, 1);
        write(&log, OutputStream::Stderr, 1);
    }
    let state = log.state();
    assert!(state.head.memory + state.tail.memory <= 2 * MEMORY_FACTOR * 64 * 1024 + 1000);
    assert!(state.is_truncated);
}

#[test]
fn an_owner_is_waited_for_and_loses_nothing() {
    let log = EventLog::new(0, false, budget(0));
    let owner = log.connect(0, OwnerKind::Client);
    let mut cursor = 0;
    for _ in 0..50 {
        while log.ready().now_or_never().is_some() {
            write(&log, OutputStream::Stdout, 5000);
        }
        let Next::Events(taken) = log.next(&mut cursor, None) else {
            panic!("nothing to take");
        };
        assert_eq!(event::id_of(&taken), Some(cursor));
        log.taken(owner, cursor);
    }
    assert_eq!(cursor, 50);
    log.disconnect(owner);
    assert!(log.ready().now_or_never().is_some(), "nobody is waited for");
}

#[test]
fn an_owner_that_returns_in_time_misses_nothing() {
    let log = log(0, true);
    let owner = log.connect(0, OwnerKind::Client);
    write(&log, OutputStream::Stdout, 1000);
    log.disconnect(owner);
    let mut written = 1;
    while log.ready().now_or_never().is_some() {
        write(&log, OutputStream::Stdout, MAX_OUTPUT);
        written += 1;
    }
    assert!(written > 100, "{written}");
    let found = events(&log, 0, None);
    assert_eq!(found.len(), written);
    assert!(found.iter().all(|(kind, _)| kind == "stdout"));
    log.forget_owner();
    assert!(log.ready().now_or_never().is_some());
}

#[test]
fn without_memory_a_command_waits_for_its_owner_and_loses_nothing() {
    let log = EventLog::new(0, true, budget(1 << 20));
    write(&log, OutputStream::Stdout, 1000);
    let mut written = 1;
    while log.ready().now_or_never().is_some() {
        write(&log, OutputStream::Stdout, MAX_OUTPUT);
        written += 1;
    }
    assert!((5..20).contains(&written), "{written}");
    assert_eq!(events(&log, 0, None).len(), written);
    let owner = log.connect(0, OwnerKind::Client);
    log.taken(owner, written as u64);
    assert!(log.ready().now_or_never().is_some());
    log.disconnect(owner);
}

#[tokio::test(start_paused = true)]
async fn a_log_is_abandoned_when_no_owner_returns_in_time() {
    let log = Arc::new(log(0, true));
    let owner = log.connect(0, OwnerKind::Client);
    let linger = Duration::from_secs(10);
    let abandoned = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.abandoned(linger).await }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    log.disconnect(owner);
    tokio::time::sleep(Duration::from_secs(9)).await;
    let owner = log.connect(0, OwnerKind::Client);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!abandoned.is_finished());
    log.disconnect(owner);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(abandoned.is_finished());
}

#[test]
fn the_output_of_an_ended_process_can_be_dropped() {
    let log = log(1 << 20, false);
    write(&log, OutputStream::Stdout, 100_000);
    assert_eq!(log.drop_output(), 0, "it has not ended");
    write(&log, OutputStream::Stderr, 10);
    log.finish(Ok(Exit::default()));
    assert!(log.drop_output() > 100_000);
    assert_eq!(events(&log, 0, None), named(&[("gap", 4), ("exit", 5)]));
    assert!(log.written().is_truncated);
    assert_eq!(log.drop_output(), 0);
}

#[test]
fn whether_it_has_ended_is_known_without_its_lock() {
    let log = log(100, false);
    assert!(log.end().is_none());
    log.finish(Err(ErrorBody::new(ErrorCode::ExecError, "lost")));
    // With it, the registry and a log that needs memory would wait for each other.
    let _state = log.state();
    assert!(log.end().is_some());
}
