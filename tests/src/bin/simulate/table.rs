//! The tables of docs/scale.md: what each route uses, and each step in the life of a sandbox.

use sandbox_protocol::route_table::{ROUTES, Route};

use crate::route::{GROUPS, Group, cases, group};
use crate::step;
use crate::usage::Usage;

/// The routes of a group as the table names them: `…` stands for a sandbox.
fn names(group: Group) -> String {
    let routes = ROUTES
        .iter()
        .filter(|route| self::group(route.operation) == group);
    routes.map(name).collect::<Vec<_>>().join(", ")
}

/// A route as the table names it.
fn name(route: &Route) -> String {
    let pattern = route
        .pattern
        .strip_prefix("/v1/sandbox/{id}/")
        .map(|rest| format!("…/{rest}"));
    let pattern = pattern.unwrap_or_else(|| route.pattern.to_owned());
    format!("`{} {pattern}`", route.method.as_str())
}

/// The table of all routes, as Markdown.
pub fn routes() -> String {
    let head =
        "| route | case | Worker | Sandbox | index | pool | rows read | rows written | rows of the index |";
    let mut lines = vec![
        head.to_owned(),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for group in GROUPS {
        for (number, (case, usage)) in cases(group).into_iter().enumerate() {
            let names = if number == 0 { names(group) } else { String::new() };
            lines.push(format!("| {names} | {case} | {} |", cells(usage)));
        }
    }
    lines.join("\n")
}

/// The table of the steps in the life of a sandbox, as Markdown.
pub fn steps() -> String {
    let steps = [
        (
            "the first start of a sandbox without settings",
            step::start(0, true),
        ),
        ("a start of one that the index has", step::start(0, false)),
        ("the alarm of a running one", step::running_alarm()),
        ("the alarm that puts it to sleep", step::sleep(0)),
        (
            "the alarm that forgets it, 24 hours later, if it has no settings",
            step::forget(),
        ),
        (
            "the first request after an eviction of the object",
            step::reload(),
        ),
    ];
    let mut lines = vec![
        "| step | Sandbox | index | rows read | rows written | rows of the index |".to_owned(),
        "| --- | --- | --- | --- | --- | --- |".to_owned(),
    ];
    for (step, usage) in steps {
        let Usage {
            sandbox,
            index,
            reads,
            writes,
            index_writes,
            ..
        } = usage;
        lines.push(format!(
            "| {step} | {sandbox} | {index} | {reads} | {writes} | {index_writes} |"
        ));
    }
    lines.join("\n")
}

fn cells(usage: Usage) -> String {
    let Usage {
        worker,
        sandbox,
        index,
        pool,
        reads,
        writes,
        index_writes,
    } = usage;
    format!("{worker} | {sandbox} | {index} | {pool} | {reads} | {writes} | {index_writes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_in_one_group_of_the_table() {
        let named = GROUPS.map(names).join(", ");
        for route in ROUTES {
            assert_eq!(named.matches(&name(route)).count(), 1, "{}", route.operation_id);
        }
    }
}
