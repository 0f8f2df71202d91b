//! `stop --with-dependents`: what depends on a service is stopped before it.
//!
//! Owns: who is stopped with whom, and in which order. Must never: stop what holds others up by having ended.

use super::command;
use super::graph::{Graph, Node};
use super::place::{Place, Target};
use super::{Failure, Output, Patience};
use crate::model::order;
use crate::name::ServiceName;
use crate::protocol::control::Verb;
use crate::protocol::status::State;

/// Stops the services and all that depends on them, dependents first, independents side by side.
pub(crate) fn stop(
    place: &Place,
    services: &[ServiceName],
    patience: Patience,
    as_json: bool,
) -> Result<Output, Failure> {
    let mut read = Output::default();
    let graph = Graph::load(place, &mut read)?;
    let (waves, spared) = waves(&graph, services);
    let waves: Vec<Vec<(Target, Verb)>> =
        waves.iter().map(|wave| wave.iter().map(|name| (Target::Service(*name), Verb::Stop)).collect()).collect();
    let mut output = command::in_waves(place, &waves, patience, as_json);
    if spared {
        let goes_on = "cmd depends on it, too, and goes on, as its end would end the container; name it to stop it";
        output.err.push(format!("zei-ctl: {goes_on}"));
    }
    output.err.splice(0..0, read.err);
    output.code = if output.code == crate::exit::OK { read.code } else { output.code };
    Ok(output)
}

/// Who is stopped at the same time, in the order of the waves; and whether `cmd` would have been among them.
fn waves(graph: &Graph, services: &[ServiceName]) -> (Vec<Vec<ServiceName>>, bool) {
    let named: Vec<usize> = services.iter().filter_map(|name| graph.find(name)).collect();
    let edges = graph.edges();
    let meant = order::closure(&order::dependents(&edges), &named);
    let mut spared = false;
    let mut waves: Vec<Vec<ServiceName>> = Vec::new();
    for level in order::levels(&edges).into_iter().rev() {
        let wave = level.into_iter().filter(|index| meant.get(*index) == Some(&true)).filter_map(|index| {
            let node = graph.nodes.get(index)?;
            let is_named = named.contains(&index);
            let is_spared = node.name == ServiceName::CMD && !is_named && would_run(node);
            spared |= is_spared;
            (is_named || (would_run(node) && !is_spared)).then_some(node.name)
        });
        let wave: Vec<ServiceName> = wave.collect();
        if !wave.is_empty() {
            waves.push(wave);
        }
    }
    (waves, spared)
}

/// Whether it runs, or would by itself. What has ended stays as it is: a completed one may be what others need.
fn would_run(node: &Node) -> bool {
    let by_dependency = node.status.as_ref().is_some_and(|status| status.reason.starts_with("dependency"));
    match node.state() {
        Some(State::Stopped | State::Completed) => false,
        // It starts as soon as its dependency comes good.
        Some(State::Failed) => by_dependency,
        Some(
            State::Waiting
            | State::Starting
            | State::Running
            | State::Stopping
            | State::RestartPending
            | State::Scheduled,
        )
        | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{PATIENT, Zei, status};
    use super::super::graph::tests::graph;
    use super::*;
    use crate::exit;
    use crate::model::time::Span;
    use crate::paths;
    use crate::protocol::control::Progress;
    use crate::text::Text;
    use std::thread;

    fn of(graph: &Graph, names: &[&str]) -> (Vec<Vec<String>>, bool) {
        let names: Vec<_> = names.iter().map(|name| ServiceName::parse(name).unwrap()).collect();
        let (waves, spared) = waves(graph, &names);
        (waves.iter().map(|wave| wave.iter().map(ToString::to_string).collect()).collect(), spared)
    }

    #[test]
    fn dependents_come_first_and_side_by_side_where_they_can() {
        let graph = graph(&["db:running", "web:running>db", "api:running>db", "proxy:waiting>web>api", "log:running"]);
        let expected = [&["proxy"][..], &["web", "api"], &["db"]].map(<[&str]>::to_vec);
        assert_eq!(of(&graph, &["db"]).0, expected);
        assert_eq!(of(&graph, &["db", "log"]).0.concat().len(), 5);
        assert_eq!(of(&graph, &["proxy"]).0, [["proxy"]]);
    }

    #[test]
    fn what_has_ended_is_left_alone_unless_it_is_named() {
        let mut graph = graph(&["db:running", "init:completed>db", "web:failed>db", "old:failed>db", "off:stopped>db"]);
        graph.nodes[2].status.as_mut().unwrap().reason = Text::from("dependency:db");
        assert_eq!(of(&graph, &["db"]).0, [["web"], ["db"]]);
        assert_eq!(of(&graph, &["init", "db"]).0.concat(), ["init", "web", "db"]);
    }

    #[test]
    fn the_command_is_stopped_by_its_name_only() {
        let graph = graph(&["db:running", "cmd:running>db"]);
        assert_eq!(of(&graph, &["db"]), (vec![vec!["db".to_string()]], true));
        assert_eq!(of(&graph, &["db", "cmd"]), (vec![vec!["cmd".to_string()], vec!["db".to_string()]], false));
    }

    fn zei() -> (Zei, super::super::fake::Supervisor, super::super::fake::Supervisor) {
        let zei = Zei::new();
        let (web, db) = (zei.service("web"), zei.service("db"));
        std::fs::write(zei.path().join("services/web").join(paths::NEEDS), "db service_started\n").unwrap();
        (zei, web, db)
    }

    #[test]
    fn a_service_is_asked_only_once_all_that_depends_on_it_has_stopped() {
        let (zei, mut web, mut db) = zei();
        let place = zei.place();
        thread::scope(|scope| {
            let supervisors = scope.spawn(move || {
                let (token, verb) = web.next();
                assert_eq!((verb, db.has_more()), (Verb::Stop, false));
                web.accept(token, verb);
                assert!(!db.has_more());
                web.answer(token, Progress::Done, "");
                let (token, _) = db.next();
                db.answer(token, Progress::Done, "");
            });
            let output = stop(&place, &[status("db").name], PATIENT, false).unwrap();
            supervisors.join().unwrap();
            assert_eq!((output.out.as_str(), output.code), ("web: stop done\ndb: stop done\n", exit::OK));
        });
    }

    #[test]
    fn what_others_still_use_is_not_stopped() {
        let (zei, mut web, db) = zei();
        let place = zei.place();
        let hasty = Patience { timeout: Some(Span(1)), ..PATIENT };
        let output = stop(&place, &[status("db").name], hasty, false).unwrap();
        assert_eq!((web.next().1, db.has_more(), output.code), (Verb::Stop, false, exit::NOT_TRUE));
        assert!(output.err[1].contains("db: stop failed: not asked, as web has not stopped"), "{:?}", output.err);
    }
}
