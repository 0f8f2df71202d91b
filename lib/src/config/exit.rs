//! When the container ends by itself, and with which code.
//!
//! Owns: `exit`. Must never: decide that an end has come.

use crate::config::maps::{EXIT, EXIT_WHEN, Fields};
use crate::config::node::{Node, Value};
use crate::config::problem::{Fault, Faults};
use crate::config::values;
use crate::model::spec::{ExitRule, Restart, ServiceSpec, When};
use crate::near::nearest;

/// Reads the key. `services` are those of the configuration, in its order.
pub fn read(node: &Node, services: &[&ServiceSpec]) -> Result<ExitRule, Faults> {
    let mut fields = Fields::of(node, &EXIT)?;
    let rule = ExitRule {
        when: fields.read("when", |node| when(node, services)).unwrap_or_default(),
        code: fields.read("code", code),
        stop_code: fields.read("stop_code", code),
    };
    fields.done(Some(rule))
}

fn when(node: &Node, services: &[&ServiceSpec]) -> Result<When, Faults> {
    match &node.value {
        Value::Map(_) => {
            let mut fields = Fields::of(node, &EXIT_WHEN)?;
            fields.one_of(&["service"]);
            let service = fields.read("service", |node| service(node, services));
            fields.done(service.map(When::Service))
        }
        _ => {
            let words = [("all", When::All), ("any", When::Any)];
            values::word(node, &words).map_err(|fault| {
                let text = format!("{}; write one of them, or {{service: NAME}}", fault.text);
                Fault { text, ..fault }.into()
            })
        }
    }
}

fn service(node: &Node, services: &[&ServiceSpec]) -> Result<usize, Fault> {
    let name = values::text(node)?;
    if name == "cmd" {
        return Err(Fault::new("the end of the command (cmd) ends the container in any case; take this away"));
    }
    let Some((index, found)) = services.iter().enumerate().find(|(_, service)| service.name.as_str() == name) else {
        let names = services.iter().map(|service| service.name.as_str()).filter(|name| *name != "cmd");
        let near = nearest(name, names);
        return Err(Fault::new(format!("there is no service {name:?}")).near(near));
    };
    // Where it depends on another it may fail by that, and then it has ended.
    let policy = &found.policy;
    if found.dependencies.is_empty() && policy.max_restarts == 0 && policy.restart == Restart::Always {
        return Err(Fault::new(format!(
            "{name} never ends for good, because it restarts always; give it max_restarts, or another restart policy"
        )));
    }
    if found.dependencies.is_empty() && policy.timer.is_some() {
        return Err(Fault::new(format!("{name} never ends for good, because it runs again and again")));
    }
    Ok(index)
}

/// What exit(3) can hand over.
fn code(node: &Node) -> Result<u8, Fault> {
    let text = values::text(node)?;
    values::number(text)
        .and_then(|number| u8::try_from(number).ok())
        .ok_or_else(|| Fault::new(format!("{text:?} is no exit code from 0 to 255")))
}
