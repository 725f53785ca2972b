//! docs/scale.md has every route in its table, and no other.

use std::collections::BTreeSet;

use sandbox_protocol::route_table::ROUTES;

#[test]
fn every_route_is_in_the_table_of_costs_once() {
    let page = include_str!("../../../docs/scale.md");
    let (_, table) = page.split_once("\n| route |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let named: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let routes: BTreeSet<String> = ROUTES
        .iter()
        .map(|route| {
            let pattern = route.pattern.replace("/v1/sandbox/{id}/", "…/");
            format!("{} {pattern}", route.method.as_str())
        })
        .collect();
    assert_eq!(named.len(), routes.len());
    assert_eq!(
        named.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(),
        routes
    );
}
