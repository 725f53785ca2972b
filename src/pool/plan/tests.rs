mod ceiling;

use super::*;

const NOW: u64 = 1_000_000;
const INTERVAL: u64 = 10_000;

fn counts(ready: u32, starting: u32, assigned: u32, stopping: u32) -> Counts {
    Counts {
        ready,
        starting,
        assigned,
        stopping,
    }
}

/// Target 10, batches of 5, nothing learned.
fn known(counts: Counts) -> PlanInput {
    PlanInput {
        now_ms: NOW,
        target: 10,
        batch: 5,
        interval_ms: INTERVAL,
        max_instances: None,
        counts,
        history: StartHistory::default(),
    }
}

fn capped(counts: Counts, max: u32) -> PlanInput {
    PlanInput {
        max_instances: Some(max),
        ..known(counts)
    }
}

fn learned(counts: Counts, instances: u32, ago_ms: u64) -> PlanInput {
    let ceiling = Some(Ceiling {
        instances,
        at_ms: NOW - ago_ms,
    });
    PlanInput {
        history: StartHistory {
            ceiling,
            failed_at_ms: None,
        },
        ..known(counts)
    }
}

fn failed(known: PlanInput, ago_ms: u64) -> PlanInput {
    PlanInput {
        history: StartHistory {
            failed_at_ms: Some(NOW - ago_ms),
            ..known.history
        },
        ..known
    }
}

fn with_target(target: u32, known: PlanInput) -> PlanInput {
    PlanInput { target, ..known }
}

const AT_ONCE: Option<u64> = Some(MIN_ALARM_DELAY_MS);
const LATER: Option<u64> = Some(INTERVAL);

#[track_caller]
fn check(what: &str, known: PlanInput, start: u32, stop: u32, next_refill_ms: Option<u64>) {
    let expected = Plan {
        start,
        stop,
        next_refill_ms,
    };
    assert_eq!(known.plan(), expected, "{what}");
}

#[test]
fn it_fills_up_to_the_target_and_shrinks_to_it() {
    check("fills in batches", known(counts(0, 0, 0, 0)), 5, 0, AT_ONCE);
    check(
        "the last batch is smaller",
        known(counts(7, 0, 0, 0)),
        3,
        0,
        AT_ONCE,
    );
    check("those that start count", known(counts(5, 5, 0, 0)), 0, 0, LATER);
    check("full", known(counts(10, 0, 40, 0)), 0, 0, LATER);
    check("refills after a take", known(counts(9, 0, 1, 0)), 1, 0, AT_ONCE);
    check(
        "fallen",
        with_target(4, known(counts(10, 0, 2, 0))),
        0,
        6,
        AT_ONCE,
    );
    check(
        "what starts is stopped later",
        with_target(1, known(counts(1, 3, 0, 0))),
        0,
        1,
        AT_ONCE,
    );
    check(
        "too many start",
        with_target(1, known(counts(0, 3, 0, 0))),
        0,
        0,
        LATER,
    );
    check(
        "turned off",
        with_target(0, known(counts(3, 0, 2, 0))),
        0,
        3,
        AT_ONCE,
    );
    check(
        "off, the last one stops",
        with_target(0, known(counts(0, 0, 2, 1))),
        0,
        0,
        LATER,
    );
    check(
        "off, the last one starts",
        with_target(0, known(counts(0, 1, 0, 0))),
        0,
        0,
        LATER,
    );
    check(
        "off, nothing is left",
        with_target(0, known(counts(0, 0, 2, 0))),
        0,
        0,
        None,
    );
}

#[test]
fn the_history_after_a_batch() {
    let started_ms = NOW - 100;
    let check_history = |what: &str, before: StartHistory, batch: [u32; 3], running, after: StartHistory| {
        let [started, no_capacity, failed] = batch;
        let batch = Batch {
            started,
            no_capacity,
            failed,
        };
        assert_eq!(before.after(batch, running, started_ms, NOW), after, "{what}");
    };
    let ceiling = |instances, at_ms| Some(Ceiling { instances, at_ms });
    let history = |ceiling, failed_at_ms| StartHistory {
        ceiling,
        failed_at_ms,
    };
    let blank = StartHistory::default();
    let at_8 = history(ceiling(8, 1), None);
    check_history("all went well", blank, [5, 0, 0], 5, blank);
    let both = history(ceiling(3, 1), Some(2));
    check_history("nothing was tried", both, [0, 0, 0], 3, both);
    check_history(
        "no capacity for some",
        blank,
        [3, 2, 0],
        8,
        history(ceiling(8, NOW), None),
    );
    check_history(
        "no capacity for the first",
        blank,
        [0, 1, 0],
        0,
        history(ceiling(0, NOW), None),
    );
    check_history(
        "a probe in vain",
        at_8,
        [0, 1, 0],
        8,
        history(ceiling(8, NOW), None),
    );
    check_history("a probe that works", at_8, [1, 0, 0], 9, blank);
    check_history("up to it", at_8, [1, 0, 0], 8, at_8);
    check_history("below it", at_8, [1, 0, 0], 7, at_8);
    check_history(
        "no capacity even below it",
        at_8,
        [0, 2, 0],
        5,
        history(ceiling(5, NOW), None),
    );
    check_history("all failed", blank, [0, 0, 5], 0, history(None, Some(NOW)));
    check_history("one failed", history(None, Some(1)), [4, 0, 1], 4, blank);
    check_history("one works again", history(None, Some(1)), [1, 0, 0], 1, blank);
    let meanwhile = history(None, Some(started_ms));
    check_history("one exited meanwhile", meanwhile, [1, 0, 0], 0, meanwhile);
    check_history(
        "no capacity, and a failure",
        blank,
        [0, 1, 1],
        2,
        history(ceiling(2, NOW), Some(NOW)),
    );
}
