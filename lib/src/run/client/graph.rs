//! Who needs whom, and how each of them is doing.
//!
//! Owns: what `why`, `tree` and `stop --with-dependents` know of all services at once. Must never: wait.

use super::place::Place;
use super::{Failure, Output};
use crate::model::order;
use crate::model::spec::Config;
use crate::name::ServiceName;
use crate::paths;
use crate::protocol::needs;
use crate::protocol::status::{State, Status};

/// All services, in the order of their names (or of the configuration).
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
}

/// A service.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: ServiceName,
    /// `None` where nothing is known.
    pub(crate) status: Option<Status>,
    pub(crate) needs: Vec<Edge>,
}

/// One dependency.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) name: ServiceName,
    /// Its index; `None`: there is no such service any more.
    pub(crate) node: Option<usize>,
    /// Compose's word for what must hold there.
    pub(crate) condition: String,
    /// The service is restarted with it.
    pub(crate) restart: bool,
}

impl Graph {
    /// What the run directory says now. What can't be read of one service hides no other, but fails the output.
    pub(crate) fn load(place: &Place, output: &mut Output) -> Result<Graph, Failure> {
        let names = (place.services().all)()?;
        let mut nodes = Vec::new();
        for name in names {
            let status = place.status(&name).unwrap_or_else(|failure| {
                output.fail(failure);
                None
            });
            let needs = place.tail(&name, paths::NEEDS).unwrap_or_else(|failure| {
                output.fail(failure);
                Vec::new()
            });
            let edge = |need: needs::Need<'_>| Edge {
                name: need.name,
                node: None,
                condition: need.condition.to_string(),
                restart: need.restart,
            };
            // While it is being made, nothing is known of it.
            let needs = needs::decode(&needs).unwrap_or_default().into_iter().map(edge).collect();
            nodes.push(Node { name, status, needs });
        }
        Ok(Graph { nodes }.linked())
    }

    /// What a configuration says.
    pub(crate) fn configured(config: &Config) -> Graph {
        let names: Vec<ServiceName> = config.services.iter().map(|service| service.name).collect();
        let nodes = config.services.iter().map(|service| {
            let edge = |dependency: &crate::model::spec::Dependency| {
                let name = *names.get(dependency.service)?;
                let condition = dependency.condition.word().to_string();
                Some(Edge { name, node: None, condition, restart: dependency.restart })
            };
            Node { name: service.name, status: None, needs: service.dependencies.iter().filter_map(edge).collect() }
        });
        Graph { nodes: nodes.collect() }.linked()
    }

    fn linked(mut self) -> Graph {
        let names: Vec<ServiceName> = self.nodes.iter().map(|node| node.name).collect();
        for edge in self.nodes.iter_mut().flat_map(|node| node.needs.iter_mut()) {
            edge.node = names.iter().position(|name| *name == edge.name);
        }
        self
    }

    /// Where a service stands in it.
    pub(crate) fn find(&self, name: &ServiceName) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == *name)
    }

    /// Whom each one needs, by index.
    pub(crate) fn edges(&self) -> Vec<Vec<usize>> {
        self.nodes.iter().map(|node| node.needs.iter().filter_map(|edge| edge.node).collect()).collect()
    }

    /// All of them, each behind all that need it.
    pub(crate) fn dependents_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = order::levels(&self.edges()).into_iter().rev().flatten().collect();
        // There are no cycles, but whoever would stand on one shall be seen.
        let rest: Vec<usize> = (0..self.nodes.len()).filter(|index| !order.contains(index)).collect();
        order.extend(rest);
        order
    }
}

impl Node {
    pub(crate) fn state(&self) -> Option<State> {
        self.status.as_ref().map(|status| status.state)
    }

    /// Whether nothing of it runs, nor will by itself.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state(), None | Some(State::Stopped | State::Completed | State::Failed))
    }

    /// Whether a condition holds here, as far as its status tells.
    pub(crate) fn fulfils(&self, condition: &str) -> bool {
        let Some(status) = &self.status else { return false };
        let succeeded = status.exit.is_some_and(crate::exit::Exit::is_success);
        match condition {
            needs::STARTED => match status.state {
                State::Running | State::Completed => true,
                State::Scheduled => status.run > 0,
                State::Starting => status.pid.is_some(),
                State::Waiting | State::Stopping | State::RestartPending | State::Stopped | State::Failed => false,
            },
            needs::HEALTHY => status.state == State::Running && status.ready && status.health.is_good(),
            needs::COMPLETED => status.state == State::Completed || (status.state == State::Scheduled && succeeded),
            _ => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::fake;
    use super::*;
    use crate::exit::Exit;
    use crate::protocol::status::Health;

    /// Each word is `NAME:STATE[>NEED[=CONDITION]…]`, with `started` where no condition is given.
    pub(crate) fn graph(words: &[&str]) -> Graph {
        let node = |word: &&str| {
            let mut parts = word.split('>');
            let (name, state) = parts.next().unwrap().split_once(':').unwrap();
            let state = State::ALL.into_iter().find(|known| known.word() == state).unwrap();
            let has_process = matches!(state, State::Running | State::Starting | State::Stopping);
            let status = fake::status(name);
            let status =
                Status { state, ready: state == State::Running, pid: status.pid.filter(|_| has_process), ..status };
            let edge = |need: &str| {
                let (name, condition) = need.split_once('=').unwrap_or((need, needs::STARTED));
                let name = ServiceName::parse(name).unwrap();
                Edge { name, node: None, condition: condition.to_string(), restart: false }
            };
            Node { name: status.name, status: Some(status), needs: parts.map(edge).collect() }
        };
        Graph { nodes: words.iter().map(node).collect() }.linked()
    }

    #[test]
    fn everyone_stands_behind_all_that_need_it() {
        let graph = graph(&["db:running", "web:running>db>log", "log:running", "cron:running>web"]);
        let order: Vec<_> = graph.dependents_first().iter().map(|index| graph.nodes[*index].name.to_string()).collect();
        let at = |name: &str| order.iter().position(|known| known == name).unwrap();
        assert!(at("cron") < at("web") && at("web") < at("db") && at("web") < at("log"), "{order:?}");
    }

    #[test]
    fn each_state_fulfils_the_conditions_that_it_should() {
        for (condition, states) in [
            (needs::STARTED, &[State::Starting, State::Running, State::Scheduled, State::Completed][..]),
            (needs::HEALTHY, &[State::Running]),
            (needs::COMPLETED, &[State::Completed]),
            ("service_warm", &[]),
        ] {
            for state in State::ALL {
                let node = &graph(&[&format!("db:{}", state.word())]).nodes[0];
                assert_eq!(node.fulfils(condition), states.contains(&state), "{condition} {state:?}");
            }
        }
        let with = |state, health, exit| Node {
            name: fake::status("db").name,
            status: Some(Status { state, health, exit, ..fake::status("db") }),
            needs: Vec::new(),
        };
        assert!(with(State::Scheduled, Health::None, Some(Exit::Code(0))).fulfils(needs::COMPLETED));
        assert!(!with(State::Scheduled, Health::None, Some(Exit::Code(1))).fulfils(needs::COMPLETED));
        assert!(with(State::Running, Health::Healthy, None).fulfils(needs::HEALTHY));
        assert!(!with(State::Running, Health::Starting, None).fulfils(needs::HEALTHY));
        assert!(!with(State::Running, Health::Unhealthy, None).fulfils(needs::HEALTHY));
    }
}
