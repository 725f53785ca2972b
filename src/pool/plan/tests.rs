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

fn off(census: Census) -> Known {
    Known {
        target: 0,
        ..known(census)
    }
}

#[test]
fn tables() {
    let soon = Some(SOON_MS);
    let later = Some(INTERVAL);
    for (what, known, start, stop, look) in [
        ("fills in batches", known(census(0, 0, 0, 0)), 5, 0, soon),
        ("the last batch is smaller", known(census(7, 0, 0, 0)), 3, 0, soon),
        ("those that start count", known(census(5, 5, 0, 0)), 0, 0, later),
        ("full", known(census(10, 0, 40, 0)), 0, 0, later),
        ("refills after a take", known(census(9, 0, 1, 0)), 1, 0, soon),
        (
            "the target has fallen",
            Known {
                target: 4,
                ..known(census(10, 0, 2, 0))
            },
            0,
            6,
            soon,
        ),
        (
            "what starts is stopped later",
            Known {
                target: 1,
                ..known(census(1, 3, 0, 0))
            },
            0,
            1,
            soon,
        ),
        (
            "too many start",
            Known {
                target: 1,
                ..known(census(0, 3, 0, 0))
            },
            0,
            0,
            later,
        ),
        ("turned off", off(census(3, 0, 2, 0)), 0, 3, soon),
        (
            "off, and the last one stops",
            off(census(0, 0, 2, 1)),
            0,
            0,
            later,
        ),
        (
            "off, and the last one starts",
            off(census(0, 1, 0, 0)),
            0,
            0,
            later,
        ),
        ("off, and nothing is left", off(census(0, 0, 2, 0)), 0, 0, None),
        // A configured ceiling.
        ("never over it", capped(census(2, 1, 4, 1), 10), 2, 0, soon),
        ("at it", capped(census(3, 0, 6, 1), 10), 0, 0, later),
        (
            "clients have taken all",
            capped(census(0, 0, 12, 0), 10),
            0,
            0,
            later,
        ),
        ("warm ones make way", capped(census(4, 0, 8, 0), 10), 0, 2, soon),
        // A learned ceiling.
        (
            "not at it yet: up to it, at once",
            learned(census(2, 0, 3, 0), 8, 1),
            3,
            0,
            soon,
        ),
        ("still in batches", learned(census(0, 0, 0, 0), 8, 1), 5, 0, soon),
        (
            "at it, just now",
            learned(census(5, 0, 3, 0), 8, 1),
            0,
            0,
            Some(INTERVAL - 1),
        ),
        (
            "at it, a while ago: one",
            learned(census(5, 0, 3, 0), 8, INTERVAL),
            1,
            0,
            soon,
        ),
        (
            "refuted by what runs",
            learned(census(5, 0, 4, 0), 8, 1),
            5,
            0,
            soon,
        ),
        (
            "no room at all",
            learned(census(0, 0, 0, 0), 0, INTERVAL - 7),
            0,
            0,
            Some(7),
        ),
        (
            "at it, but full",
            learned(census(10, 0, 0, 0), 10, 1),
            0,
            0,
            later,
        ),
        (
            "the configured one is lower: no probe",
            Known {
                max_instances: Some(6),
                ..learned(census(3, 0, 3, 0), 6, INTERVAL)
            },
            0,
            0,
            later,
        ),
        (
            "the learned one is lower",
            Known {
                max_instances: Some(9),
                ..learned(census(3, 0, 3, 0), 7, 1)
            },
            1,
            0,
            soon,
        ),
        // Another failure.
        (
            "waits",
            failed(known(census(2, 0, 0, 0)), 4_000),
            0,
            0,
            Some(6_000),
        ),
        (
            "then tries one",
            failed(known(census(2, 0, 0, 0)), INTERVAL),
            1,
            0,
            soon,
        ),
        (
            "and stops what is too much",
            failed(off(census(2, 0, 0, 0)), 1),
            0,
            2,
            soon,
        ),
        (
            "also below a learned ceiling",
            failed(learned(census(2, 0, 0, 0), 8, 1), 4_000),
            0,
            0,
            Some(6_000),
        ),
        (
            "the later one of two failures counts",
            failed(learned(census(8, 0, 0, 0), 8, 1_000), INTERVAL),
            0,
            0,
            Some(9_000),
        ),
        (
            "a clock that was set back waits no longer than an interval",
            Known {
                now_ms: NOW - 500_000,
                ..failed(known(census(2, 0, 0, 0)), 0)
            },
            0,
            0,
            later,
        ),
    ] {
        let expected = Plan {
            start,
            stop,
            look_again_ms: look,
        };
        assert_eq!(known.plan(), expected, "{what}");
    }
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
    let batch = |started, without_room, failed| Batch {
        started,
        without_room,
        failed,
    };
    let ceiling = |instances, at_ms| Some(Ceiling { instances, at_ms });
    let memory = |ceiling, failed_at_ms| Memory {
        ceiling,
        failed_at_ms,
    };
    let blank = Memory::default();
    for (what, before, batch, running, after) in [
        ("all went well", blank, batch(5, 0, 0), 5, blank),
        (
            "nothing was tried",
            memory(ceiling(3, 1), Some(2)),
            batch(0, 0, 0),
            3,
            memory(ceiling(3, 1), Some(2)),
        ),
        (
            "no room for some",
            blank,
            batch(3, 2, 0),
            8,
            memory(ceiling(8, NOW), None),
        ),
        (
            "no room for the first",
            blank,
            batch(0, 1, 0),
            0,
            memory(ceiling(0, NOW), None),
        ),
        (
            "a probe in vain",
            memory(ceiling(8, 1), None),
            batch(0, 1, 0),
            8,
            memory(ceiling(8, NOW), None),
        ),
        (
            "a probe that works",
            memory(ceiling(8, 1), None),
            batch(1, 0, 0),
            9,
            blank,
        ),
        (
            "up to it",
            memory(ceiling(8, 1), None),
            batch(1, 0, 0),
            8,
            memory(ceiling(8, 1), None),
        ),
        (
            "below it",
            memory(ceiling(8, 1), None),
            batch(1, 0, 0),
            7,
            memory(ceiling(8, 1), None),
        ),
        (
            "no room even below it",
            memory(ceiling(8, 1), None),
            batch(0, 2, 0),
            5,
            memory(ceiling(5, NOW), None),
        ),
        ("all failed", blank, batch(0, 0, 5), 0, memory(None, Some(NOW))),
        ("one failed", memory(None, Some(1)), batch(4, 0, 1), 4, blank),
        ("one works again", memory(None, Some(1)), batch(1, 0, 0), 1, blank),
        (
            "one ended by itself meanwhile",
            memory(None, Some(NOW - 100)),
            batch(1, 0, 0),
            0,
            memory(None, Some(NOW - 100)),
        ),
        (
            "no room, and a failure",
            blank,
            batch(0, 1, 1),
            2,
            memory(ceiling(2, NOW), Some(NOW)),
        ),
    ] {
        assert_eq!(before.after(batch, running, NOW - 100, NOW), after, "{what}");
    }
}
