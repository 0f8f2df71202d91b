//! The exit contract: what ends the container, and with which code.

use super::*;

/// One row: whether the end of a service (by its code 4) ends the container by `exit.when`, the command's code if
/// there is one, whether another service has failed (by code 3) before. Then the container's code, first where
/// nobody asks for the end, then where somebody does before anything ends it; of each four the first without
/// `exit.stop_code` and `exit.code`, the second with `exit.code: 66`, the third with `exit.stop_code: 77`, the fourth
/// with both.
type Row = (bool, Option<u8>, bool, [u8; 4], [u8; 4]);

const TABLE: &[Row] = &[
    (false, None, false, [0, 66, 0, 66], [0, 0, 77, 77]),
    (false, None, true, [3, 66, 3, 66], [0, 0, 77, 77]),
    (false, Some(0), false, [0, 0, 0, 0], [0, 0, 77, 77]),
    (false, Some(0), true, [0, 0, 0, 0], [0, 0, 77, 77]),
    (false, Some(5), false, [5, 5, 5, 5], [5, 5, 77, 77]),
    (false, Some(5), true, [5, 5, 5, 5], [5, 5, 77, 77]),
    (true, None, false, [4, 66, 4, 66], [0, 0, 77, 77]),
    (true, None, true, [4, 66, 4, 66], [0, 0, 77, 77]),
    (true, Some(0), false, [4, 66, 4, 66], [0, 0, 77, 77]),
    (true, Some(0), true, [4, 66, 4, 66], [0, 0, 77, 77]),
    (true, Some(5), false, [4, 66, 4, 66], [5, 5, 77, 77]),
    (true, Some(5), true, [4, 66, 4, 66], [5, 5, 77, 77]),
];

fn ended(code: u8) -> Service {
    if code == 0 { completed() } else { failed(code, 30) }
}

fn stopped(code: u8) -> Service {
    service(Phase::Stopped, Some(Exit::Code(code)), 40)
}

fn lived(exit: ExitRule, asked: Option<Event>, command: Option<u8>, failure: bool) -> Verdict {
    let hit = exit.when == When::Service(1);
    let mut nodes = vec![node(&[]); 2];
    nodes.extend(command.map(|_| node(&[])));
    let count = nodes.len();
    let mut tree = ruled(nodes, command.map(|_| 2), exit);
    change(&mut tree, &[(1, running()), (2, running())]);
    change(&mut tree, &[(0, if failure { failed(3, 10) } else { completed() })]);
    assert!(!tree.is_stopping());
    if let Some(asked) = asked {
        tree.step(asked, NOW);
    }
    change(&mut tree, &[(1, if hit { failed(4, 20) } else { completed() })]);
    if let Some(code) = command {
        let by_itself = asked.is_none() && !hit;
        change(&mut tree, &[(2, if by_itself { ended(code) } else { stopped(code) })]);
    }
    verdict(&mut tree, count)
}

#[test]
fn the_code_is_the_first_of_the_contract_that_applies() {
    for (hit, command, failure, by_itself, by_request) in TABLE {
        let rules = [(None, None), (Some(66), None), (None, Some(77)), (Some(66), Some(77))];
        for (place, (code, stop_code)) in rules.into_iter().enumerate() {
            let when = if *hit { When::Service(1) } else { When::All };
            let exit = ExitRule { when, code, stop_code };
            let told = format!("{exit:?}, command {command:?}, failure {failure}");
            assert_eq!(lived(exit, None, *command, *failure).code, by_itself[place], "{told}");
            for asked in [Event::Shutdown, Event::Signal(signal::TERM)] {
                let verdict = lived(exit, Some(asked), *command, *failure);
                assert_eq!((verdict.code, verdict.cause), (by_request[place], Cause::Asked), "{told}, {asked:?}");
            }
        }
    }
}

#[test]
fn exit_when_says_whose_end_is_the_end_of_all() {
    for (when, first, second) in [
        // None of them ends it; the second service's end; the third's.
        (When::All, None, None),
        (When::Any, Some((4, 1)), None),
        (When::Service(1), Some((4, 1)), None),
        (When::Service(2), None, Some((9, 2))),
    ] {
        let mut tree = ruled(vec![node(&[]); 3], None, ExitRule { when, ..ExitRule::default() });
        change(&mut tree, &[(0, running()), (2, running())]);
        change(&mut tree, &[(1, failed(4, 10))]);
        assert_eq!(tree.is_stopping(), first.is_some(), "{when:?}");
        change(&mut tree, &[(2, failed(9, 20))]);
        assert_eq!(tree.is_stopping(), first.or(second).is_some(), "{when:?}");
        if let Some((code, culprit)) = first.or(second) {
            let verdict = verdict(&mut tree, 3);
            assert_eq!((verdict.code, verdict.cause), (code, Cause::Service));
            assert_eq!(verdict.culprit().map(|(index, _)| *index), Some(culprit));
        }
    }
}

#[test]
fn by_exit_when_a_good_end_is_an_end_and_a_stop_by_request_is_none() {
    let any = ExitRule { when: When::Any, ..ExitRule::default() };
    for (end, code) in [
        (completed(), Some(0)),
        (failed(6, 1), Some(6)),
        (service(Phase::Failed(Reason::GaveUp), Some(Exit::Code(0)), 1), Some(125)),
        (service(Phase::Stopped, Some(Exit::Code(1)), 1), None),
        (service(Phase::Stopped, None, 1), None),
        (service(Phase::RestartPending { at: NOW }, Some(Exit::Code(1)), 1), None),
        (service(Phase::Scheduled { at: NOW }, Some(Exit::Code(0)), 1), None),
        // The other one is not known to have failed.
        (failed_by(1), None),
    ] {
        let mut tree = ruled(vec![node(&[]); 2], None, any);
        change(&mut tree, &[(1, running()), (0, end)]);
        assert_eq!(tree.is_stopping().then(|| finish(&mut tree, 2)), code, "{end:?}");
    }
}

#[test]
fn the_commands_end_is_by_exit_when_only_where_that_says_so() {
    let rule = |when| ExitRule { when, code: Some(66), stop_code: None };
    let held = Node { on_exit: OnEnd::Shutdown, on_failure: OnEnd::Shutdown, ..node(&[]) };
    for (when, code, cause) in [
        (When::All, 5, Cause::Command),
        (When::Service(0), 5, Cause::Command),
        (When::Any, 66, Cause::Service),
        (When::Service(1), 66, Cause::Service),
    ] {
        // That its end ends all goes without saying, and where it is said it means no more than that.
        for own in [node(&[]), held.clone()] {
            let mut tree = ruled(vec![node(&[]), own], Some(1), rule(when));
            change(&mut tree, &[(0, running()), (1, failed(5, 1))]);
            let verdict = verdict(&mut tree, 2);
            assert_eq!((verdict.code, verdict.cause), (code, cause), "{when:?}");
        }
    }
}

#[test]
fn an_unhealthy_service_ends_all_where_its_check_says_so() {
    let ill = |health| Service { health, ..running() };
    for (on_unhealthy, health, ends) in [
        (OnUnhealthy::Shutdown, Health::Unhealthy, true),
        (OnUnhealthy::Shutdown, Health::Healthy, false),
        (OnUnhealthy::Shutdown, Health::Starting, false),
        (OnUnhealthy::Shutdown, Health::None, false),
        (OnUnhealthy::Restart, Health::Unhealthy, false),
        (OnUnhealthy::None, Health::Unhealthy, false),
    ] {
        for (code, expected) in [(None, 125), (Some(66), 66)] {
            let own = Node { on_unhealthy, ..node(&[]) };
            let mut tree = ruled(vec![node(&[]), own], None, ExitRule { code, ..ExitRule::default() });
            change(&mut tree, &[(0, running()), (1, ill(health))]);
            assert_eq!(tree.is_stopping(), ends, "{on_unhealthy:?} {health:?}");
            if ends {
                // Its end is no news then.
                change(&mut tree, &[(1, stopped(0))]);
                let verdict = verdict(&mut tree, 2);
                assert_eq!((verdict.code, verdict.cause), (expected, Cause::Unhealthy));
                assert_eq!(verdict.chain, [(1, ill(health))]);
                assert!(verdict.is_failure());
            }
        }
    }
}

#[test]
fn the_chain_leads_from_whose_end_it_was_to_whoever_failed_first() {
    let ends = Node { on_failure: OnEnd::Shutdown, ..node(&[1]) };
    let command = Node { on_exit: OnEnd::Shutdown, ..node(&[1]) };
    for (last, cause, is_command) in [(ends, Cause::Service, false), (command, Cause::Command, true)] {
        let mut tree = booted(vec![node(&[]), node(&[0]), last, node(&[])], is_command.then_some(2));
        let later = NOW.plus(Span(700));
        let changes = [(3, running()), (0, failed(42, 1)), (1, failed_by(0)), (2, failed_by(1))];
        for (index, service) in changes {
            tree.step(Event::Changed(index, service), later);
        }
        let verdict = verdict(&mut tree, 4);
        assert_eq!((verdict.code, verdict.cause, verdict.at), (42, cause, later));
        assert_eq!(verdict.chain, [(2, failed_by(1)), (1, failed_by(0)), (0, failed(42, 1))]);
        assert_eq!(verdict.culprit(), Some(&(0, failed(42, 1))));
    }
}

#[test]
fn of_an_end_by_itself_the_first_failure_is_the_culprit() {
    let mut tree = tree_of(&[&[], &[], &[1]]);
    change(&mut tree, &[(0, failed(3, 20)), (1, failed(4, 10)), (2, failed_by(1))]);
    let verdict = verdict(&mut tree, 3);
    assert_eq!((verdict.code, verdict.cause), (4, Cause::All));
    assert_eq!(verdict.chain, [(1, failed(4, 10))]);
}

#[test]
fn a_failure_is_an_end_that_nobody_asked_for_with_a_code_other_than_0() {
    for (code, cause, failure) in [
        (0, Cause::Asked, false),
        (143, Cause::Asked, false),
        (0, Cause::All, false),
        (1, Cause::All, true),
        (0, Cause::Service, false),
        (255, Cause::Service, true),
        (0, Cause::Command, false),
        (5, Cause::Command, true),
        (125, Cause::Unhealthy, true),
        (0, Cause::Unhealthy, false),
    ] {
        let verdict = Verdict { code, cause, at: NOW, chain: Vec::new() };
        assert_eq!(verdict.is_failure(), failure, "{verdict:?}");
    }
}

#[test]
fn without_a_failure_nobody_is_the_culprit() {
    let rule = ExitRule { code: Some(66), ..ExitRule::default() };
    let mut tree = ruled(vec![node(&[])], None, rule);
    change(&mut tree, &[(0, completed())]);
    let verdict = verdict(&mut tree, 1);
    assert_eq!((verdict.code, verdict.chain.clone(), verdict.culprit()), (66, vec![], None));
}

#[test]
fn an_end_that_was_asked_for_begins_when_it_was_asked_for() {
    for asked in [Event::Shutdown, Event::Signal(signal::TERM)] {
        let mut tree = tree_of(&[&[]]);
        let later = NOW.plus(Span(9));
        tree.step(asked, later);
        assert_eq!(verdict(&mut tree, 1), Verdict { code: 0, cause: Cause::Asked, at: later, chain: vec![] });
    }
}

#[test]
fn the_code_of_an_end_by_itself_is_that_of_the_first_failure_in_time() {
    for (services, code) in [
        (vec![completed(), completed()], 0),
        (vec![failed(3, 20), failed(4, 10)], 4),
        (vec![failed(3, 10), failed(4, 20)], 3),
        (vec![completed(), failed(7, 9)], 7),
        (vec![service(Phase::Failed(Reason::Ended), Some(Exit::Signal(9)), 1), completed()], 137),
        (vec![service(Phase::Failed(Reason::GaveUp), Some(Exit::Code(0)), 1), completed()], 125),
        (vec![service(Phase::Failed(Reason::Stray), None, 1), completed()], 125),
        // Failed earlier, but only by what it depends on.
        (vec![failed(6, 10), failed_by(0)], 6),
    ] {
        let mut tree = tree_of(&[&[], &[]]);
        let changes: Vec<(usize, Service)> = services.iter().copied().enumerate().collect();
        change(&mut tree, &changes);
        assert_eq!(finish(&mut tree, 2), code, "{services:?}");
    }
}

#[test]
fn the_service_whose_end_is_the_end_of_all_gives_its_code() {
    let ends = |on_exit, on_failure| Node { on_exit, on_failure, ..node(&[]) };
    for (own, end, code) in [
        (ends(OnEnd::Shutdown, OnEnd::None), completed(), Some(0)),
        (ends(OnEnd::Shutdown, OnEnd::None), failed(9, 1), Some(9)),
        (ends(OnEnd::None, OnEnd::Shutdown), failed(9, 1), Some(9)),
        (ends(OnEnd::None, OnEnd::Shutdown), completed(), None),
        (ends(OnEnd::None, OnEnd::None), failed(9, 1), None),
        (ends(OnEnd::Shutdown, OnEnd::Shutdown), service(Phase::Stopped, Some(Exit::Code(1)), 1), None),
        (ends(OnEnd::Shutdown, OnEnd::Shutdown), service(Phase::RestartPending { at: NOW }, None, 1), None),
    ] {
        let mut tree = booted(vec![own, node(&[])], None);
        change(&mut tree, &[(1, running()), (0, end)]);
        assert_eq!(tree.is_stopping(), code.is_some());
        if let Some(code) = code {
            // What comes later changes nothing.
            tree.step(Event::Signal(signal::TERM), NOW);
            change(&mut tree, &[(1, failed(77, 2))]);
            assert_eq!(finish(&mut tree, 2), code);
        }
    }
}

#[test]
fn a_shutdown_that_was_asked_for_gives_the_commands_code_or_0() {
    for (command, code) in [
        (None, 0),
        (Some(service(Phase::Stopped, Some(Exit::Code(5)), 1)), 5),
        (Some(service(Phase::Stopped, Some(Exit::Signal(15)), 1)), 143),
        (Some(service(Phase::Stopped, None, 1)), 0),
        // It ran to the last, and was killed with the rest.
        (Some(Service { ending: Some(Ending::Exited(Exit::Code(0))), ..running() }), 137),
    ] {
        for asked in [Event::Shutdown, Event::Signal(signal::TERM)] {
            let mut tree = booted(vec![node(&[]), node(&[0])], command.map(|_| 1));
            change(&mut tree, &[(0, running()), (1, running())]);
            tree.step(asked, NOW);
            change(&mut tree, &[(0, failed(3, 1)), (1, command.unwrap_or_else(running))]);
            assert_eq!(finish(&mut tree, 2), code);
        }
    }
}

#[test]
fn a_command_that_never_started_gives_the_code_of_what_it_waited_for() {
    let command = Node { on_exit: OnEnd::Shutdown, ..node(&[1]) };
    let changes = [(0, failed(42, 1)), (1, failed_by(0)), (2, failed_by(1))];
    // Reports may come in any order.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut tree = booted(vec![node(&[]), node(&[0]), command.clone()], Some(2));
        for (step, number) in order.iter().enumerate() {
            change(&mut tree, &[changes[*number]]);
            assert_eq!(tree.is_stopping(), step == 2, "{order:?}");
        }
        assert_eq!(finish(&mut tree, 3), 42, "{order:?}");
    }
}

#[test]
fn a_failure_to_start_has_its_own_code() {
    use crate::model::service::{Failure, SpawnStage};
    for (stage, errno, code) in [(SpawnStage::Execute, 2, 127), (SpawnStage::Execute, 13, 126)] {
        let mut tree = booted(vec![Node { on_exit: OnEnd::Shutdown, ..node(&[]) }], Some(0));
        let ending = Some(Ending::NotStarted(Failure { stage, errno }));
        change(&mut tree, &[(0, Service { ending, ..service(Phase::Failed(Reason::Ended), None, 1) })]);
        assert_eq!(finish(&mut tree, 1), code);
    }
}
