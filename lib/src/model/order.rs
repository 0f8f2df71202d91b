//! The dependency graph: nodes are indices, `graph[n]` lists what `n` depends on.
//!
//! Owns: cycles, closures, the reverse graph, the order of a start. Must never: know what a node is.
//! An edge to a node that does not exist is ignored everywhere, so nothing here can fail.

/// Who depends on each node: the same graph with every edge turned round.
pub fn dependents(graph: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut reverse = vec![Vec::new(); graph.len()];
    for (node, targets) in graph.iter().enumerate() {
        for target in targets {
            if let Some(list) = reverse.get_mut(*target) {
                list.push(node);
            }
        }
    }
    reverse
}

/// All that can be reached from `roots`, the roots included: `closure[n]` says whether `n` is among it.
pub fn closure(graph: &[Vec<usize>], roots: &[usize]) -> Vec<bool> {
    let mut reached = vec![false; graph.len()];
    let mut todo = roots.to_vec();
    while let Some(node) = todo.pop() {
        if let Some(slot) = reached.get_mut(node)
            && !*slot
        {
            *slot = true;
            todo.extend(targets(graph, node));
        }
    }
    reached
}

/// The nodes by level: level 0 depends on nothing, each later one only on earlier ones. Nodes on a
/// cycle, and what depends on them, stand in no level. A shutdown goes through the levels backwards.
pub fn levels(graph: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let edges = |node: &usize| targets(graph, *node).iter().filter(|target| **target < graph.len()).count();
    let mut missing: Vec<usize> = (0..graph.len()).map(|node| edges(&node)).collect();
    let reverse = dependents(graph);
    let mut level: Vec<usize> = (0..graph.len()).filter(|node| missing.get(*node) == Some(&0)).collect();
    let mut levels = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for dependent in level.iter().flat_map(|node| targets(&reverse, *node)) {
            if let Some(count) = missing.get_mut(*dependent) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    next.push(*dependent);
                }
            }
        }
        levels.push(std::mem::replace(&mut level, next));
    }
    levels
}

/// The first cycle, each node once, in the order of its edges and beginning at its lowest node.
pub fn find_cycle(graph: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut seen = vec![Seen::Not; graph.len()];
    for root in 0..graph.len() {
        if seen.get(root) != Some(&Seen::Not) {
            continue;
        }
        // A depth-first walk with its own stack, each node with the index of its next edge: a long
        // chain must not end the program's stack.
        let mut path = vec![(root, 0)];
        set(&mut seen, root, Seen::OnPath);
        while let Some((node, next)) = path.last_mut() {
            let Some(target) = targets(graph, *node).get(*next).copied() else {
                set(&mut seen, *node, Seen::Done);
                path.pop();
                continue;
            };
            *next += 1;
            match seen.get(target) {
                Some(Seen::Not) => {
                    set(&mut seen, target, Seen::OnPath);
                    path.push((target, 0));
                }
                Some(Seen::OnPath) => {
                    let nodes = path.into_iter().map(|(node, _)| node);
                    return Some(from_lowest(nodes.skip_while(|node| *node != target).collect()));
                }
                Some(Seen::Done) | None => {}
            }
        }
    }
    None
}

/// How far [`find_cycle`] is with a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    OnPath,
    Done,
}

fn from_lowest(mut cycle: Vec<usize>) -> Vec<usize> {
    let lowest = cycle.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(index, _)| index);
    cycle.rotate_left(lowest);
    cycle
}

fn targets(graph: &[Vec<usize>], node: usize) -> &[usize] {
    graph.get(node).map_or(&[], Vec::as_slice)
}

fn set<T>(slots: &mut [T], node: usize, value: T) {
    if let Some(slot) = slots.get_mut(node) {
        *slot = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cycle_is_named_whole_from_its_lowest_node() {
        assert_eq!(find_cycle(&[vec![1], vec![2], vec![]]), None);
        assert_eq!(find_cycle(&[vec![0]]), Some(vec![0]));
        assert_eq!(find_cycle(&[vec![3], vec![2], vec![1, 0], vec![2]]), Some(vec![1, 2]));
        assert_eq!(find_cycle(&[vec![], vec![3], vec![1], vec![2]]), Some(vec![1, 3, 2]));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_has_no_cycle_and_as_many_levels() {
        let graph: Vec<Vec<usize>> = (0..100_000).map(|node| if node == 0 { vec![] } else { vec![node - 1] }).collect();
        assert_eq!(find_cycle(&graph), None);
        assert_eq!(levels(&graph).len(), graph.len());
    }

    #[test]
    fn a_closure_holds_its_roots_and_all_below_them() {
        let graph = [vec![1], vec![2], vec![], vec![0]];
        assert_eq!(closure(&graph, &[1]), [false, true, true, false]);
        assert_eq!(closure(&graph, &[9]), [false; 4]);
    }

    proptest! {
        #[test]
        fn levels_hold_every_node_exactly_when_there_is_no_cycle(
            graph in (1usize..9).prop_flat_map(|n| prop::collection::vec(prop::collection::vec(0..n + 1, 0..3), n))
        ) {
            let levels = levels(&graph);
            let cycle = find_cycle(&graph);
            prop_assert_eq!(levels.iter().flatten().count() == graph.len(), cycle.is_none());
            let level_of = |node: usize| levels.iter().position(|level| level.contains(&node));
            for node in levels.iter().flatten() {
                for target in graph[*node].iter().filter(|target| **target < graph.len()) {
                    prop_assert!(level_of(*target) < level_of(*node));
                }
            }
            if let Some(cycle) = cycle {
                for (index, node) in cycle.iter().enumerate() {
                    prop_assert!(graph[*node].contains(&cycle[(index + 1) % cycle.len()]));
                }
            }
        }

        #[test]
        fn turning_the_edges_round_twice_gives_the_same_edges(
            graph in (1usize..9).prop_flat_map(|n| prop::collection::vec(prop::collection::vec(0..n, 0..4), n))
        ) {
            let mut sorted = graph.clone();
            sorted.iter_mut().for_each(|targets| targets.sort_unstable());
            prop_assert_eq!(dependents(&dependents(&graph)), sorted);
        }
    }
}
