//! Makes a plan that fails smaller, as long as it still fails in the same way.

use crate::plan::{Plan, Planned, Script, Work};
use crate::reached::Reached;
use crate::run;
use crate::world::Violation;
use zei::model::spec::{ExitRule, OnEnd, Policy, Restart, When};
use zei::model::time::Span;

/// The smallest plan that was found.
pub fn shrink(plan: &Plan, violation: &Violation) -> Plan {
    let fails = |plan: &Plan| run(plan, false, &mut Reached::new()).1.is_some_and(|found| found.what == violation.what);
    let mut best = plan.clone();
    loop {
        let before = size(&best);
        for candidate in candidates(&best) {
            // Candidates are made of the best so far, which may have changed since: each is tried on that anew.
            let mut next = best.clone();
            if candidate(&mut next) && fails(&next) {
                best = next;
            }
        }
        if size(&best) >= before {
            return best;
        }
    }
}

fn size(plan: &Plan) -> usize {
    plan.print().len()
}

/// Something that is left out; `false`: it is not there.
type Change = Box<dyn Fn(&mut Plan) -> bool>;

fn candidates(plan: &Plan) -> Vec<Change> {
    let mut list: Vec<Change> = Vec::new();
    for count in [8, 4, 2, 1] {
        for at in (0..plan.interventions.len()).rev() {
            list.push(Box::new(move |plan| {
                let there = at + count <= plan.interventions.len();
                if there {
                    plan.interventions.drain(at..at + count);
                }
                there
            }));
        }
    }
    for index in (0..plan.services.len()).rev() {
        list.push(Box::new(move |plan| leave_out(plan, index)));
    }
    list.push(Box::new(|plan| !std::mem::replace(&mut plan.calm, true)));
    list.push(Box::new(|plan| std::mem::replace(&mut plan.losses, false)));
    list.push(Box::new(|plan| std::mem::replace(&mut plan.crowded, false)));
    list.push(Box::new(|plan| std::mem::take(&mut plan.exit) != ExitRule::default()));
    list.push(Box::new(|plan| plan.command.take().is_some()));
    list.push(Box::new(|plan| std::mem::replace(&mut plan.budget, Span::seconds(30)) != Span::seconds(30)));
    for index in 0..plan.services.len() {
        for number in 0..plan.services[index].needs.len() {
            list.push(Box::new(move |plan| {
                let needs = &mut plan.services.get_mut(index).map(|service| &mut service.needs);
                needs.as_mut().filter(|needs| number < needs.len()).map(|needs| needs.remove(number)).is_some()
            }));
        }
        for change in SIMPLER {
            list.push(Box::new(move |plan| {
                let Some(service) = plan.services.get_mut(index) else { return false };
                let before = service.clone();
                change(service);
                format!("{before:?}") != format!("{service:?}")
            }));
        }
        for number in 0..4 {
            for change in SIMPLER_SCRIPTS {
                list.push(Box::new(move |plan| {
                    let script = plan.services.get_mut(index).and_then(|service| service.runs.get_mut(number));
                    let Some(script) = script else { return false };
                    let before = script.clone();
                    change(script);
                    before != *script
                }));
            }
            list.push(Box::new(move |plan| {
                let work = plan.services.get_mut(index).and_then(|service| service.jobs.get_mut(number));
                work.is_some_and(|work| std::mem::replace(work, Work::calm()) != Work::calm())
            }));
        }
    }
    list
}

/// A service is left out, and all that names it; what comes after it moves up.
fn leave_out(plan: &mut Plan, index: usize) -> bool {
    if index >= plan.services.len() || plan.services.len() == 1 {
        return false;
    }
    let moved = |other: usize| if other > index { other - 1 } else { other };
    plan.services.remove(index);
    for service in &mut plan.services {
        service.needs.retain(|needs| needs.on != index);
        service.needs.iter_mut().for_each(|needs| needs.on = moved(needs.on));
    }
    plan.exit.when = match plan.exit.when {
        When::Service(other) if other == index => When::All,
        When::Service(other) => When::Service(moved(other)),
        when => when,
    };
    plan.command = plan.command.filter(|command| *command != index).map(moved);
    plan.interventions.retain_mut(|(_, what)| what.service().is_none_or(|whose| *whose != index));
    for whose in plan.interventions.iter_mut().filter_map(|(_, what)| what.service()) {
        *whose = moved(*whose);
    }
    true
}

const SIMPLER: &[fn(&mut Planned)] = &[
    |service| service.policy = Policy { oneshot: service.policy.oneshot, ..Policy::default() },
    |service| service.policy.health = None,
    |service| service.policy.pre_start = None,
    |service| service.policy.post_stop = None,
    |service| service.policy.reload = None,
    |service| (service.policy.ready, service.policy.ready_timeout, service.policy.watchdog) = (None, None, None),
    |service| service.policy.ready_timeout = None,
    |service| service.policy.watchdog = None,
    |service| service.policy.backoff = None,
    |service| service.policy.timer = None,
    |service| service.policy.drain = Span(0),
    |service| service.policy.restart = Restart::Never,
    |service| service.policy.max_restarts = 0,
    |service| service.policy.reset_after = Policy::default().reset_after,
    |service| service.policy.restart_delay = Policy::default().restart_delay,
    |service| service.policy.stop_signal = Policy::default().stop_signal,
    |service| service.policy.stop_scope = Policy::default().stop_scope,
    |service| service.policy.stop_grace_period = None,
    |service| (service.on_exit, service.on_failure) = (OnEnd::None, OnEnd::None),
    |service| service.autostart = true,
    |service| service.runs.truncate(1),
    |service| service.jobs.truncate(1),
    |service| service.runs = vec![Script::calm()],
    |service| service.jobs = vec![Work::calm()],
];

const SIMPLER_SCRIPTS: &[fn(&mut Script)] = &[
    |script| *script = Script::calm(),
    |script| script.spawning = Script::calm().spawning,
    |script| script.ends = None,
    |script| script.oom = false,
    |script| script.patience = Some(1),
    |script| script.answer = Script::calm().answer,
    |script| script.forks.clear(),
    |script| script.forks.truncate(script.forks.len().saturating_sub(1)),
    |script| script.stuck = false,
    |script| script.says.clear(),
    |script| script.says.truncate(script.says.len().saturating_sub(1)),
    |script| {
        if !script.says.is_empty() {
            script.says.remove(0);
        }
    },
];
