//! The ceilings: configured ones, and those learned from a failed start.

use super::*;

#[test]
fn it_stays_below_a_configured_ceiling() {
    check("never over it", capped(counts(2, 1, 4, 1), 10), 2, 0, AT_ONCE);
    check("at it", capped(counts(3, 0, 6, 1), 10), 0, 0, LATER);
    check(
        "clients have taken all",
        capped(counts(0, 0, 12, 0), 10),
        0,
        0,
        LATER,
    );
    check(
        "warm ones make way",
        capped(counts(4, 0, 8, 0), 10),
        0,
        2,
        AT_ONCE,
    );
}

#[test]
fn it_fills_up_to_a_learned_ceiling_and_probes_there() {
    check(
        "up to it, at once",
        learned(counts(2, 0, 3, 0), 8, 1),
        3,
        0,
        AT_ONCE,
    );
    check(
        "still in batches",
        learned(counts(0, 0, 0, 0), 8, 1),
        5,
        0,
        AT_ONCE,
    );
    let just_now = learned(counts(5, 0, 3, 0), 8, 1);
    check("at it, just now", just_now, 0, 0, Some(INTERVAL - 1));
    let a_while_ago = learned(counts(5, 0, 3, 0), 8, INTERVAL);
    check("at it, a while ago: one", a_while_ago, 1, 0, AT_ONCE);
    check(
        "disproved by the running ones",
        learned(counts(5, 0, 4, 0), 8, 1),
        5,
        0,
        AT_ONCE,
    );
    let none = learned(counts(0, 0, 0, 0), 0, INTERVAL - 7);
    check("no capacity at all", none, 0, 0, Some(7));
    check(
        "at it, but full",
        learned(counts(10, 0, 0, 0), 10, 1),
        0,
        0,
        LATER,
    );
    let configured = |max, known| PlanInput {
        max_instances: Some(max),
        ..known
    };
    let lower = configured(6, learned(counts(3, 0, 3, 0), 6, INTERVAL));
    check("no probe over the configured one", lower, 0, 0, LATER);
    let higher = configured(9, learned(counts(3, 0, 3, 0), 7, 1));
    check("the learned one is lower", higher, 1, 0, AT_ONCE);
}

#[test]
fn after_another_failure_it_waits_and_then_tries_one() {
    check(
        "waits",
        failed(known(counts(2, 0, 0, 0)), 4_000),
        0,
        0,
        Some(6_000),
    );
    check(
        "tries one",
        failed(known(counts(2, 0, 0, 0)), INTERVAL),
        1,
        0,
        AT_ONCE,
    );
    let surplus = with_target(0, failed(known(counts(2, 0, 0, 0)), 1));
    check("stops what is too much", surplus, 0, 2, AT_ONCE);
    let below = failed(learned(counts(2, 0, 0, 0), 8, 1), 4_000);
    check("also below a learned ceiling", below, 0, 0, Some(6_000));
    let both = failed(learned(counts(8, 0, 0, 0), 8, 1_000), INTERVAL);
    check("the later failure counts", both, 0, 0, Some(9_000));
    let set_back = PlanInput {
        now_ms: NOW - 500_000,
        ..failed(known(counts(2, 0, 0, 0)), 0)
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
    let configured = |max, known| PlanInput {
        max_instances: max,
        ..known
    };
    for (known, ceiling) in [
        (known(counts(1, 0, 0, 0)), None),
        (capped(counts(1, 0, 0, 0), 6), Some(6)),
        (learned(counts(1, 0, 0, 0), 4, 1), Some(4)),
        (configured(Some(6), learned(counts(1, 0, 0, 0), 4, 1)), Some(4)),
        (configured(Some(3), learned(counts(1, 0, 0, 0), 4, 1)), Some(3)),
        (configured(None, learned(counts(5, 0, 0, 0), 4, 1)), None),
    ] {
        assert_eq!(known.ceiling(), ceiling, "{known:?}");
    }
}
