//! `tree`: who depends on whom, with the state of each.
//!
//! Owns: how the graph is drawn. Must never: draw a service's dependencies twice.

use super::graph::{Edge, Graph, Node};
use super::names::{Known, Scope, select};
use super::place::Place;
use super::show::{self, Look};
use super::view::{label, paint};
use super::{Failure, Output, json};
use crate::model::order;
use crate::name::ServiceName;
use crate::protocol::status::State;
use serde::Serialize;

/// `zei-ctl tree`; without words: from the services on that nothing depends on.
pub(crate) fn tree(found: Result<Place, Failure>, words: &[String], look: &Look<'_>) -> Result<Output, Failure> {
    let mut output = Output::default();
    let graph = match found {
        Ok(place) => Graph::load(&place, &mut output)?,
        Err(failure) => {
            let graph = Graph::configured(&show::configured(look.config, &failure)?);
            output.err.push(show::instead(&failure));
            graph
        }
    };
    let all = || graph.nodes.iter().map(|node| node.name).collect::<Vec<ServiceName>>();
    let known = Known { has: Box::new(|name| graph.find(name).is_some()), all: Box::new(|| Ok(all())) };
    let chosen = select(&known, words, Scope::Everything)?;
    output.out = match (look.json, words.is_empty()) {
        (true, true) => as_json(&graph, &all()),
        (true, false) => as_json(&graph, &chosen),
        (false, true) => drawn(&graph, &roots(&graph), look),
        (false, false) => drawn(&graph, &chosen.iter().filter_map(|name| graph.find(name)).collect::<Vec<_>>(), look),
    };
    Ok(output)
}

fn roots(graph: &Graph) -> Vec<usize> {
    let edges = graph.edges();
    let dependents = order::dependents(&edges);
    let mut roots: Vec<usize> =
        (0..graph.nodes.len()).filter(|index| dependents.get(*index).is_none_or(Vec::is_empty)).collect();
    // There are no cycles, but whoever stood on one should be seen.
    while let Some(hidden) = order::closure(&edges, &roots).iter().position(|reached| !reached) {
        roots.push(hidden);
    }
    roots
}

/// The pieces that lines are made of.
struct Pieces {
    branch: &'static str,
    last: &'static str,
    line: &'static str,
    blank: &'static str,
}

const ASCII: Pieces = Pieces { branch: "|-- ", last: "`-- ", line: "|   ", blank: "    " };
const BOXES: Pieces = Pieces { branch: "├── ", last: "└── ", line: "│   ", blank: "    " };

struct Drawing<'a> {
    graph: &'a Graph,
    pieces: &'static Pieces,
    colour: bool,
    drawn: Vec<bool>,
    text: String,
}

fn drawn(graph: &Graph, roots: &[usize], look: &Look<'_>) -> String {
    let pieces = if look.boxes { &BOXES } else { &ASCII };
    let drawn = vec![false; graph.nodes.len()];
    let mut drawing = Drawing { graph, pieces, colour: look.colour, drawn, text: String::new() };
    for root in roots {
        if let Some(node) = graph.nodes.get(*root) {
            drawing.node(*root, node, "", "", None);
        }
    }
    drawing.text
}

impl Drawing<'_> {
    /// One service and all below it. `first` stands before it, `rest` before what is below it.
    fn node(&mut self, index: usize, node: &Node, first: &str, rest: &str, edge: Option<(&Node, &Edge)>) {
        let again = self.drawn.get(index) == Some(&true);
        if let Some(slot) = self.drawn.get_mut(index) {
            *slot = true;
        }
        let status = node.status.as_ref();
        let (on, off) = paint(status, self.colour);
        let reason = status.filter(|_| node.state() == Some(State::Failed)).map(|status| status.reason);
        let reason = reason.map_or(String::new(), |reason| format!(" ({reason})"));
        let unmet =
            edge.filter(|(parent, edge)| parent.state() == Some(State::Waiting) && !node.fulfils(&edge.condition));
        let unmet = unmet.map_or(String::new(), |(_, edge)| format!("  [not yet {}]", edge.condition));
        let above = if again && !node.needs.is_empty() { "  (see above)" } else { "" };
        self.text += &format!("{first}{}  {on}{}{off}{reason}{unmet}{above}\n", node.name, label(status));
        if !again {
            self.below(node, rest);
        }
    }

    fn below(&mut self, node: &Node, rest: &str) {
        let graph = self.graph;
        let Pieces { branch, last, line, blank } = self.pieces;
        for (nth, edge) in node.needs.iter().enumerate() {
            let (piece, under) = if nth + 1 == node.needs.len() { (last, blank) } else { (branch, line) };
            let (first, under) = (format!("{rest}{piece}"), format!("{rest}{under}"));
            match edge.node.and_then(|index| Some((index, graph.nodes.get(index)?))) {
                Some((index, child)) => self.node(index, child, &first, &under, Some((node, edge))),
                None => self.text += &format!("{first}{}  not there\n", edge.name),
            }
        }
    }
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    state: Option<&'a str>,
    health: Option<&'a str>,
    reason: Option<&'a str>,
    needs: Vec<Need<'a>>,
    needed_by: Vec<&'a str>,
}

#[derive(Serialize)]
struct Need<'a> {
    name: &'a str,
    condition: &'a str,
    restart: bool,
    /// Whether the condition holds now.
    holds: bool,
}

/// One array; an object a service.
fn as_json(graph: &Graph, names: &[ServiceName]) -> String {
    let dependents = order::dependents(&graph.edges());
    let name = |index: &usize| graph.nodes.get(*index).map(|node| node.name.as_str());
    let entry = |index: usize| {
        let node = graph.nodes.get(index)?;
        let need = |edge: &'_ Edge| edge.node.and_then(|index| graph.nodes.get(index));
        let needs = node.needs.iter().map(|edge| Need {
            name: edge.name.as_str(),
            condition: &edge.condition,
            restart: edge.restart,
            holds: need(edge).is_some_and(|other| other.fulfils(&edge.condition)),
        });
        let status = node.status.as_ref();
        Some(Entry {
            name: node.name.as_str(),
            state: node.state().map(State::word),
            health: status.map(|status| status.health.word()),
            reason: status.map(|status| status.reason.as_str()),
            needs: needs.collect(),
            needed_by: dependents.get(index).into_iter().flatten().filter_map(name).collect(),
        })
    };
    let indices = names.iter().filter_map(|name| graph.find(name));
    json(&indices.filter_map(entry).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::graph;
    use super::*;
    use crate::text::Text;

    const PLAIN: Look<'_> = Look { json: false, colour: false, boxes: false, config: &[] };

    fn example() -> Graph {
        let mut graph = graph(&[
            "db:starting>disk=service_completed_successfully",
            "disk:completed",
            "log:failed",
            "proxy:waiting>web>db",
            "web:waiting>db=service_healthy>log",
        ]);
        graph.nodes[2].status.as_mut().unwrap().reason = Text::from("exit:3");
        graph
    }

    #[test]
    fn what_nothing_depends_on_is_a_root_and_nobodys_dependencies_are_drawn_twice() {
        let graph = example();
        let expected = "\
proxy  waiting
|-- web  waiting  [not yet service_started]
|   |-- db  starting  [not yet service_healthy]
|   |   `-- disk  completed
|   `-- log  failed (exit:3)  [not yet service_started]
`-- db  starting  (see above)
";
        assert_eq!(drawn(&graph, &roots(&graph), &PLAIN), expected);
    }

    #[test]
    fn lines_and_colours_change_nothing_else() {
        let graph = example();
        let plain = drawn(&graph, &roots(&graph), &PLAIN);
        let fancy = drawn(&graph, &roots(&graph), &Look { colour: true, boxes: true, ..PLAIN });
        assert!(fancy.contains("│   └── log  \x1b[31mfailed\x1b[0m (exit:3)"), "{fancy}");
        let pairs =
            [("├── ", "|-- "), ("└── ", "`-- "), ("│", "|"), ("\x1b[31m", ""), ("\x1b[33m", ""), ("\x1b[0m", "")];
        assert_eq!(pairs.iter().fold(fancy, |text, (from, to)| text.replace(from, to)), plain);
    }

    #[test]
    fn a_cycle_and_a_dependency_that_is_gone_are_drawn_and_end() {
        let graph = graph(&["a:waiting>b", "b:waiting>a", "c:waiting>gone"]);
        let text = drawn(&graph, &roots(&graph), &PLAIN);
        assert_eq!(text.matches("  waiting").count(), 4, "{text}");
        assert!(text.contains("c  waiting\n`-- gone  not there\n"), "{text}");
    }

    #[test]
    fn json_has_the_edges_both_ways() {
        let graph = example();
        let names: Vec<_> = graph.nodes.iter().map(|node| node.name).collect();
        let read: serde_json::Value = serde_json::from_str(&as_json(&graph, &names)).unwrap();
        let db = &read[0];
        assert_eq!(db["needs"][0]["condition"], "service_completed_successfully");
        assert_eq!(db["needs"][0]["holds"], true);
        assert_eq!(db["needed_by"], serde_json::json!(["proxy", "web"]));
        assert_eq!((&read[2]["state"], &read[2]["reason"]), (&"failed".into(), &"exit:3".into()));
        assert_eq!(as_json(&graph, &names[1..2]).matches("\"name\"").count(), 1);
    }
}
