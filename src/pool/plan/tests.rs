use super::*;

const NOW: u64 = 1_000_000;
const INTERVAL: u64 = 10_000;

fn census(ready: u32, starting: u32, assigned: u32, stopping: u32) -> Census {
    Census {
        ready,
        starting,
        assigned,
        stopping,
    }
}

/// Target 10, batches of 5, nothing learned.
fn known(census: Census) -> Known {
    Known {
        now_ms: NOW,
        target: 10,
        batch: 5,
        interval_ms: INTERVAL,
        max_instances: None,
        census,
        memory: Memory::default(),
    }
}

fn capped(census: Census, max: u32) -> Known {
    Known {
        max_instances: Some(max),
        ..known(census)
    }
}

fn learned(census: Census, instances: u32, ago_ms: u64) -> Known {
    let ceiling = Some(Ceiling {
        instances,
        at_ms: NOW - ago_ms,
    });
    Known {
        memory: Memory {
            ceiling,
            failed_at_ms: None,
        },
        ..known(census)
    }
}

fn failed(known: Known, ago_ms: u64) -> Known {
    Known {
        memory: Memory {
            failed_at_ms: Some(NOW - ago_ms),
            ..known.memory
        },
        ..known
    }
}

fn with_target(target: u32, known: Known) -> Known {
    Known { target, ..known }
}

const SOON: Option<u64> = Some(SOON_MS);
const LATER: Option<u64> = Some(INTERVAL);

#[track_caller]
fn check(what: &str, known: Known, start: u32, stop: u32, look_again_ms: Option<u64>) {
    let expected = Plan {
        start,
        stop,
        look_again_ms,
    };
    assert_eq!(known.plan(), expected, "{what}");
}

#[test]
fn it_fills_up_to_the_target_and_shrinks_to_it() {
    check("fills in batches", known(census(0, 0, 0, 0)), 5, 0, SOON);
    check("the last batch is smaller", known(census(7, 0, 0, 0)), 3, 0, SOON);
    check("those that start count", known(census(5, 5, 0, 0)), 0, 0, LATER);
    check("full", known(census(10, 0, 40, 0)), 0, 0, LATER);
    check("refills after a take", known(census(9, 0, 1, 0)), 1, 0, SOON);
    check("fallen", with_target(4, known(census(10, 0, 2, 0))), 0, 6, SOON);
    check(
        "what starts is stopped later",
        with_target(1, known(census(1, 3, 0, 0))),
        0,
        1,
        SOON,
    );
    check(
        "too many start",
        with_target(1, known(census(0, 3, 0, 0))),
        0,
        0,
        LATER,
    );
    check(
        "turned off",
        with_target(0, known(census(3, 0, 2, 0))),
        0,
        3,
        SOON,
    );
    check(
        "off, the last one stops",
        with_target(0, known(census(0, 0, 2, 1))),
        0,
        0,
        LATER,
    );
    check(
        "off, the last one starts",
        with_target(0, known(census(0, 1, 0, 0))),
        0,
        0,
        LATER,
    );
    check(
        "off, nothing is left",
        with_target(0, known(census(0, 0, 2, 0))),
        0,
        0,
        None,
    );
}

#[test]
fn it_stays_below_a_configured_ceiling() {
    check("never over it", capped(census(2, 1, 4, 1), 10), 2, 0, SOON);
    check("at it", capped(census(3, 0, 6, 1), 10), 0, 0, LATER);
    check(
        "clients have taken all",
        capped(census(0, 0, 12, 0), 10),
        0,
        0,
        LATER,
    );
    check("warm ones make way", capped(census(4, 0, 8, 0), 10), 0, 2, SOON);
}

#[test]
fn it_fills_up_to_a_learned_ceiling_and_probes_there() {
    check("up to it, at once", learned(census(2, 0, 3, 0), 8, 1), 3, 0, SOON);
    check("still in batches", learned(census(0, 0, 0, 0), 8, 1), 5, 0, SOON);
    let just_now = learned(census(5, 0, 3, 0), 8, 1);
    check("at it, just now", just_now, 0, 0, Some(INTERVAL - 1));
    let a_while_ago = learned(census(5, 0, 3, 0), 8, INTERVAL);
    check("at it, a while ago: one", a_while_ago, 1, 0, SOON);
    check(
        "refuted by what runs",
        learned(census(5, 0, 4, 0), 8, 1),
        5,
        0,
        SOON,
    );
    let none = learned(census(0, 0, 0, 0), 0, INTERVAL - 7);
    check("no room at all", none, 0, 0, Some(7));
    check(
        "at it, but full",
        learned(census(10, 0, 0, 0), 10, 1),
        0,
        0,
        LATER,
    );
    let configured = |max, known| Known {
        max_instances: Some(max),
        ..known
    };
    let lower = configured(6, learned(census(3, 0, 3, 0), 6, INTERVAL));
    check("no probe over the configured one", lower, 0, 0, LATER);
    let higher = configured(9, learned(census(3, 0, 3, 0), 7, 1));
    check("the learned one is lower", higher, 1, 0, SOON);
}

#[test]
fn after_another_failure_it_waits_and_then_tries_one() {
    check(
        "waits",
        failed(known(census(2, 0, 0, 0)), 4_000),
        0,
        0,
        Some(6_000),
    );
    check(
        "tries one",
        failed(known(census(2, 0, 0, 0)), INTERVAL),
        1,
        0,
        SOON,
    );
    let surplus = with_target(0, failed(known(census(2, 0, 0, 0)), 1));
    check("stops what is too much", surplus, 0, 2, SOON);
    let below = failed(learned(census(2, 0, 0, 0), 8, 1), 4_000);
    check("also below a learned ceiling", below, 0, 0, Some(6_000));
    let both = failed(learned(census(8, 0, 0, 0), 8, 1_000), INTERVAL);
    check("the later failure counts", both, 0, 0, Some(9_000));
    let set_back = Known {
        now_ms: NOW - 500_000,
        ..failed(known(census(2, 0, 0, 0)), 0)
    };
    check(
        "a clock that was set back: an interval at most",
        set_back,
        0,
        0,
        LATER,
    );
}

#[test]
fn the_ceiling_is_the_lower_one() {
    let configured = |max, known| Known {
        max_instances: max,
        ..known
    };
    for (known, ceiling) in [
        (known(census(1, 0, 0, 0)), None),
        (capped(census(1, 0, 0, 0), 6), Some(6)),
        (learned(census(1, 0, 0, 0), 4, 1), Some(4)),
        (configured(Some(6), learned(census(1, 0, 0, 0), 4, 1)), Some(4)),
        (configured(Some(3), learned(census(1, 0, 0, 0), 4, 1)), Some(3)),
        (configured(None, learned(census(5, 0, 0, 0), 4, 1)), None),
    ] {
        assert_eq!(known.ceiling(), ceiling, "{known:?}");
    }
}

#[test]
fn what_a_batch_teaches() {
    let began = NOW - 100;
    let teaches = |what: &str, before: Memory, batch: [u32; 3], running, after: Memory| {
        let [started, without_room, failed] = batch;
        let batch = Batch {
            started,
            without_room,
            failed,
        };
        assert_eq!(before.after(batch, running, began, NOW), after, "{what}");
    };
    let ceiling = |instances, at_ms| Some(Ceiling { instances, at_ms });
    let memory = |ceiling, failed_at_ms| Memory {
        ceiling,
        failed_at_ms,
    };
    let blank = Memory::default();
    let at_8 = memory(ceiling(8, 1), None);
    teaches("all went well", blank, [5, 0, 0], 5, blank);
    let both = memory(ceiling(3, 1), Some(2));
    teaches("nothing was tried", both, [0, 0, 0], 3, both);
    teaches(
        "no room for some",
        blank,
        [3, 2, 0],
        8,
        memory(ceiling(8, NOW), None),
    );
    teaches(
        "no room for the first",
        blank,
        [0, 1, 0],
        0,
        memory(ceiling(0, NOW), None),
    );
    teaches(
        "a probe in vain",
        at_8,
        [0, 1, 0],
        8,
        memory(ceiling(8, NOW), None),
    );
    teaches("a probe that works", at_8, [1, 0, 0], 9, blank);
    teaches("up to it", at_8, [1, 0, 0], 8, at_8);
    teaches("below it", at_8, [1, 0, 0], 7, at_8);
    teaches(
        "no room even below it",
        at_8,
        [0, 2, 0],
        5,
        memory(ceiling(5, NOW), None),
    );
    teaches("all failed", blank, [0, 0, 5], 0, memory(None, Some(NOW)));
    teaches("one failed", memory(None, Some(1)), [4, 0, 1], 4, blank);
    teaches("one works again", memory(None, Some(1)), [1, 0, 0], 1, blank);
    let meanwhile = memory(None, Some(began));
    teaches(
        "one ended by itself meanwhile",
        meanwhile,
        [1, 0, 0],
        0,
        meanwhile,
    );
    teaches(
        "no room, and a failure",
        blank,
        [0, 1, 1],
        2,
        memory(ceiling(2, NOW), Some(NOW)),
    );
}
