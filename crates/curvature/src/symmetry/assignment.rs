//! The linear assignment problem.

use crate::error::CurvatureError;

/// The permutation p that minimises Σ costs(i, p(i)), by shortest augmenting paths.
///
/// ```
/// use ravine_curvature::symmetry::assignment;
///
/// let costs = [4.0, 1.0, 3.0, 2.0, 0.0, 5.0, 3.0, 2.0, 2.0];
/// assert_eq!(assignment(&costs, 3)?, [1, 0, 2]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Shapes
///
/// `costs` is an n × n matrix, row-major, of any signs; the result holds the column of each row.
///
/// # Cost
///
/// O(n³) operations, O(n) memory.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] if `costs` does not hold n² numbers, [`CurvatureError::NonFinite`] if one is not finite.
///
/// # References
///
/// R. Jonker and A. Volgenant, A shortest augmenting path algorithm for dense and sparse linear assignment problems, 1987;
/// D. F. Crouse, On implementing 2D rectangular assignment algorithms, 2016, section II.
pub fn assignment(costs: &[f64], n: usize) -> Result<Vec<usize>, CurvatureError> {
    if costs.len() != n * n {
        return Err(CurvatureError::Dimension {
            what: "the matrix of costs",
            expected: n * n,
            found: costs.len(),
        });
    }
    if let Some(&value) = costs.iter().find(|cost| !cost.is_finite()) {
        return Err(CurvatureError::NonFinite {
            what: "a cost of an assignment",
            value,
        });
    }
    let mut solution = Partial {
        costs,
        n,
        row_duals: vec![0.0; n],
        column_duals: vec![0.0; n],
        row_of: vec![None; n],
    };
    for row in 0..n {
        solution.augment(row);
    }
    let mut columns = vec![0; n];
    for (column, row) in solution.row_of.into_iter().enumerate() {
        columns[row.expect("each row was assigned")] = column;
    }
    Ok(columns)
}

/// An optimal assignment of the first rows, with its dual variables: costs[i][j] ≥ uᵢ + vⱼ, with equality where assigned.
struct Partial<'a> {
    costs: &'a [f64],
    n: usize,
    row_duals: Vec<f64>,
    column_duals: Vec<f64>,
    /// The row of each column that has one.
    row_of: Vec<Option<usize>>,
}

impl Partial<'_> {
    /// Assigns one more row along the shortest path to a free column (Dijkstra over reduced costs).
    fn augment(&mut self, start: usize) {
        let n = self.n;
        let mut distance = vec![f64::INFINITY; n];
        let mut from = vec![start; n];
        let mut open: Vec<usize> = (0..n).collect();
        let mut closed: Vec<usize> = Vec::new();
        let (mut row, mut reached) = (start, 0.0);
        let sink = loop {
            let costs = &self.costs[row * n..(row + 1) * n];
            let mut nearest = 0;
            for (position, &column) in open.iter().enumerate() {
                let path =
                    reached + costs[column] - self.row_duals[row] - self.column_duals[column];
                if path < distance[column] {
                    distance[column] = path;
                    from[column] = row;
                }
                if distance[column] < distance[open[nearest]] {
                    nearest = position;
                }
            }
            let column = open.swap_remove(nearest);
            reached = distance[column];
            match self.row_of[column] {
                None => break column,
                Some(next) => row = next,
            }
            closed.push(column);
        };
        self.row_duals[start] += reached;
        for column in closed {
            let slack = reached - distance[column];
            let row = self.row_of[column].expect("a closed column has a row");
            self.row_duals[row] += slack;
            self.column_duals[column] -= slack;
        }
        self.flip(start, sink, &from);
    }

    /// Exchanges assigned and unassigned pairs along the path.
    fn flip(&mut self, start: usize, sink: usize, from: &[usize]) {
        let mut column = sink;
        loop {
            let row = from[column];
            let previous = self
                .row_of
                .iter()
                .position(|&assigned| assigned == Some(row));
            self.row_of[column] = Some(row);
            match previous {
                Some(previous) if row != start => column = previous,
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::vector::standard_normal;

    fn total(costs: &[f64], n: usize, columns: &[usize]) -> f64 {
        let rows = columns.iter().enumerate();
        rows.map(|(row, column)| costs[row * n + column]).sum()
    }

    /// The least total over all permutations (Heap's algorithm).
    fn brute_force(costs: &[f64], n: usize) -> f64 {
        fn visit(columns: &mut Vec<usize>, k: usize, best: &mut f64, costs: &[f64], n: usize) {
            if k <= 1 {
                *best = best.min(total(costs, n, columns));
                return;
            }
            for i in 0..k {
                visit(columns, k - 1, best, costs, n);
                columns.swap(if k.is_multiple_of(2) { i } else { 0 }, k - 1);
            }
        }
        let mut best = f64::INFINITY;
        visit(&mut (0..n).collect(), n, &mut best, costs, n);
        best
    }

    #[test]
    fn it_is_the_least_of_all_permutations() {
        for n in 1..=7 {
            for seed in 0..20 {
                let mut rng = Seed::new(seed).index(n as u64).rng();
                let mut costs = standard_normal(n * n, &mut rng);
                if seed % 2 == 0 {
                    // many ties
                    costs.iter_mut().for_each(|cost| *cost = cost.round());
                }
                let columns = assignment(&costs, n).unwrap();
                let mut sorted = columns.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..n).collect::<Vec<_>>());
                let difference = total(&costs, n, &columns) - brute_force(&costs, n);
                assert!(difference.abs() < 1e-12, "{n} {seed} {difference:e}");
            }
        }
    }

    #[test]
    fn a_planted_permutation_of_hundreds_is_found() {
        let n = 300;
        let mut rng = Seed::new(5).rng();
        let mut costs = standard_normal(n * n, &mut rng);
        let planted = |row: usize| (row * 7 + 3) % n;
        (0..n).for_each(|row| costs[row * n + planted(row)] -= 100.0);
        let columns = assignment(&costs, n).unwrap();
        assert!((0..n).all(|row| columns[row] == planted(row)));
    }

    #[test]
    fn nothing_constants_and_what_is_not_finite() {
        assert!(assignment(&[], 0).unwrap().is_empty());
        assert_eq!(assignment(&[7.0], 1).unwrap(), [0]);
        assert_eq!(assignment(&[0.0; 9], 3).unwrap().len(), 3);
        assert!(assignment(&[f64::NAN], 1).is_err());
        assert!(assignment(&[1.0, 2.0], 1).is_err());
    }
}
