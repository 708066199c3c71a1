//! The clauses of a query: `WITH`, `SELECT`, `FROM`, joins, `GROUP BY`, `ORDER BY`, set operations.

use sqlparser::ast::{
    BinaryOperator, Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, LimitClause, ObjectName, ObjectNamePart,
    OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, TableAlias, TableFactor, TableWithJoins,
    Value,
};

use crate::column::{Column, Step};
use crate::expression::{self, Typed};
use crate::plan::{Content, OutputColumn, Planner, QueryError, Relation, Scope, conjuncts, identifier};
use crate::schema::{Kind, WHOLE};
use crate::timestamp;

type Planned = Result<(String, Vec<OutputColumn>), QueryError>;

/// Relations in one `FROM`.
const RELATIONS_MAX: usize = 8;

pub(crate) fn query(planner: &mut Planner<'_>, query: &Query) -> Planned {
    let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } = query;
    if fetch.is_some()
        || !locks.is_empty()
        || for_clause.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || !pipe_operators.is_empty()
    {
        return Err(QueryError::Unsupported("this clause of a query"));
    }
    let outer = planner.tables.len();
    let mut sql = String::new();
    if let Some(with) = with {
        if with.recursive {
            return Err(QueryError::Unsupported("WITH RECURSIVE"));
        }
        for table in &with.cte_tables {
            let (inner, columns) = planner.inner(&table.query)?;
            let columns = renamed(columns, &table.alias)?;
            let name = table.alias.name.value.to_ascii_lowercase();
            sql.push_str(if sql.is_empty() { "WITH " } else { ", " });
            sql.push_str(&format!("{} ({}) AS ({inner})", identifier(&name), names(&columns)));
            planner.tables.push((name, columns));
        }
        sql.push(' ');
    }
    let (text, columns, scope) = set(planner, body)?;
    sql.push_str(&text);
    if let Some(order) = order_by {
        let OrderByKind::Expressions(expressions) = &order.kind else { return Err(QueryError::Unsupported("ORDER BY ALL")) };
        if order.interpolate.is_some() {
            return Err(QueryError::Unsupported("INTERPOLATE"));
        }
        let scope = Scope { outputs: columns.clone(), ..scope };
        sql.push_str(&order_by_text(planner, expressions, &scope)?);
    }
    if let Some(limit) = limit_clause {
        sql.push_str(&limit_text(limit)?);
    }
    planner.tables.truncate(outer);
    Ok((sql, columns))
}

fn renamed(columns: Vec<OutputColumn>, alias: &TableAlias) -> Result<Vec<OutputColumn>, QueryError> {
    if alias.columns.is_empty() {
        return Ok(columns);
    }
    if alias.columns.len() != columns.len() {
        return Err(QueryError::SetWidth("the column list and the table"));
    }
    Ok(columns.into_iter().zip(&alias.columns).map(|(column, name)| OutputColumn { name: name.name.value.clone(), ..column }).collect())
}

fn names(columns: &[OutputColumn]) -> String {
    columns.iter().map(|column| identifier(&column.name)).collect::<Vec<_>>().join(", ")
}

fn order_by_text(planner: &mut Planner<'_>, expressions: &[OrderByExpr], scope: &Scope) -> Result<String, QueryError> {
    let mut parts = Vec::with_capacity(expressions.len());
    let is_grouped = planner.aggregates > 0 || !planner.groups.is_empty();
    for OrderByExpr { expr, options, with_fill } in expressions {
        if with_fill.is_some() {
            return Err(QueryError::Unsupported("WITH FILL"));
        }
        let descending = match &options.sort {
            None | Some(sqlparser::ast::OrderBySort::Asc) => false,
            Some(sqlparser::ast::OrderBySort::Desc) => true,
            Some(_) => return Err(QueryError::Unsupported("ORDER BY USING")),
        };
        let text = match ordinal(expr) {
            Some(number) if number >= 1 && number <= scope.outputs.len() => number.to_string(),
            Some(number) => return Err(QueryError::UnknownColumn(number.to_string())),
            None => {
                planner.allows_aggregates = is_grouped;
                let text = expression::translate(planner, expr, scope)?.sql;
                planner.allows_aggregates = false;
                text
            }
        };
        // Nulls come last unless the query says so, also when the order is descending.
        let nulls = if options.nulls_first.unwrap_or(false) { "FIRST" } else { "LAST" };
        parts.push(format!("{text} {} NULLS {nulls}", if descending { "DESC" } else { "ASC" }));
    }
    if let Some(name) = planner.loose.first().filter(|_| is_grouped) {
        return Err(QueryError::NotGrouped(name.clone()));
    }
    Ok(format!(" ORDER BY {}", parts.join(", ")))
}

fn limit_text(limit: &LimitClause) -> Result<String, QueryError> {
    let LimitClause::LimitOffset { limit, offset, limit_by } = limit else { return Err(QueryError::Unsupported("LIMIT with two numbers")) };
    if !limit_by.is_empty() {
        return Err(QueryError::Unsupported("LIMIT BY"));
    }
    let number = |expr: &Expr| match expr {
        Expr::Identifier(name) if name.value.eq_ignore_ascii_case("all") => Ok(-1_i64),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse::<i64>().map_err(|_| QueryError::Literal(digits.clone())),
            _ => Err(QueryError::Unsupported("a LIMIT that is no number")),
        },
        _ => Err(QueryError::Unsupported("a LIMIT that is no number")),
    };
    let limit = limit.as_ref().map_or(Ok(-1), number)?;
    let offset = offset.as_ref().map_or(Ok(0), |offset| number(&offset.value))?;
    Ok(format!(" LIMIT {limit} OFFSET {offset}"))
}

/// A set expression, its columns, and the scope in which `ORDER BY` stands.
fn set(planner: &mut Planner<'_>, body: &SetExpr) -> Result<(String, Vec<OutputColumn>, Scope), QueryError> {
    planner.count_node()?;
    match body {
        SetExpr::Select(select_clause) => select(planner, select_clause),
        SetExpr::Query(inner) => {
            let (sql, columns) = planner.inner(inner)?;
            // SQLite knows no brackets around a side of a set operation.
            Ok((format!("SELECT * FROM ({sql})"), columns, Scope::default()))
        }
        SetExpr::SetOperation { left, op, set_quantifier, right } => {
            let (left, columns, _) = set(planner, left)?;
            planner.groups.clear();
            planner.aggregates = 0;
            let (right, others, _) = set(planner, right)?;
            planner.groups.clear();
            planner.loose.clear();
            planner.aggregates = 0;
            let word = match (op, set_quantifier) {
                (SetOperator::Union, SetQuantifier::All) => "UNION ALL",
                (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => "UNION",
                (SetOperator::Except, SetQuantifier::None | SetQuantifier::Distinct) => "EXCEPT",
                (SetOperator::Intersect, SetQuantifier::None | SetQuantifier::Distinct) => "INTERSECT",
                _ => return Err(QueryError::Unsupported("this set operation")),
            };
            if columns.len() != others.len() {
                return Err(QueryError::SetWidth(word));
            }
            Ok((format!("{left} {word} {right}"), columns, Scope::default()))
        }
        _ => Err(QueryError::NotSelect),
    }
}

fn select(planner: &mut Planner<'_>, select: &Select) -> Result<(String, Vec<OutputColumn>, Scope), QueryError> {
    planner.count_select()?;
    refuse_other_clauses(select)?;
    planner.loose.clear();
    planner.groups.clear();
    planner.aggregates = 0;
    planner.allows_aggregates = false;
    let (from_sql, relations) = from(planner, &select.from)?;
    let scope = Scope { relations, outputs: Vec::new() };
    let condition = match &select.selection {
        Some(condition) => {
            let text = expression::boolean(planner, condition, &scope)?;
            planner.loose.clear();
            Some(text)
        }
        None => None,
    };
    note_range(planner, select, &scope, &from_sql, condition.as_deref());
    let mut groups = Vec::new();
    let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else { return Err(QueryError::Unsupported("GROUP BY ALL")) };
    if !modifiers.is_empty() {
        return Err(QueryError::Unsupported("a modifier of GROUP BY"));
    }
    for expr in expressions {
        groups.push(expression::translate(planner, grouped(expr, select)?, &scope)?.sql);
    }
    planner.loose.clear();
    planner.groups.clone_from(&groups);
    planner.allows_aggregates = true;
    let (projection, columns) = projection(planner, &select.projection, &scope)?;
    let having = select.having.as_ref().map(|having| expression::boolean(planner, having, &scope)).transpose()?;
    planner.allows_aggregates = false;
    if (planner.aggregates > 0 || !groups.is_empty() || having.is_some())
        && let Some(name) = planner.loose.first()
    {
        return Err(QueryError::NotGrouped(name.clone()));
    }
    let distinct = match &select.distinct {
        None | Some(Distinct::All) => "",
        Some(Distinct::Distinct) => "DISTINCT ",
        Some(Distinct::On(_)) => return Err(QueryError::Unsupported("DISTINCT ON")),
    };
    let mut sql = format!("SELECT {distinct}{projection}{from_sql}");
    if let Some(condition) = condition {
        sql.push_str(&format!(" WHERE {condition}"));
    }
    if !groups.is_empty() {
        sql.push_str(&format!(" GROUP BY {}", groups.join(", ")));
    }
    if let Some(having) = having {
        sql.push_str(&format!(" HAVING {having}"));
    }
    Ok((sql, columns, scope))
}

fn refuse_other_clauses(select: &Select) -> Result<(), QueryError> {
    let known = select.select_modifiers.is_none()
        && select.optimizer_hints.is_empty()
        && select.top.is_none()
        && select.exclude.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.named_window.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none();
    if known { Ok(()) } else { Err(QueryError::Unsupported("this clause of a SELECT")) }
}

/// The expression that `GROUP BY` names, also by its number.
fn grouped<'e>(expr: &'e Expr, select: &'e Select) -> Result<&'e Expr, QueryError> {
    let Some(number) = ordinal(expr) else { return Ok(expr) };
    match number.checked_sub(1).and_then(|at| select.projection.get(at)) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => Ok(expr),
        _ => Err(QueryError::UnknownColumn(number.to_string())),
    }
}

fn ordinal(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn projection(planner: &mut Planner<'_>, items: &[SelectItem], scope: &Scope) -> Planned {
    let mut parts = Vec::with_capacity(items.len());
    let mut columns = Vec::with_capacity(items.len());
    let mut add = |typed: Typed, name: String| {
        parts.push(format!("{} AS {}", typed.sql, identifier(&name)));
        columns.push(OutputColumn { name, kind: typed.kind });
    };
    for (at, item) in items.iter().enumerate() {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let typed = expression::translate(planner, expr, scope)?;
                add(typed, natural_name(expr).unwrap_or_else(|| format!("_col{at}")));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let typed = expression::translate(planner, expr, scope)?;
                add(typed, alias.value.clone());
            }
            SelectItem::Wildcard(_) => {
                for relation in &scope.relations {
                    for (name, typed) in all_columns(planner, relation) {
                        add(typed, name);
                    }
                }
            }
            SelectItem::QualifiedWildcard(sqlparser::ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let alias = single_name(name)?.to_ascii_lowercase();
                let relation = scope
                    .relations
                    .iter()
                    .find(|relation| relation.alias == alias)
                    .ok_or(QueryError::UnknownColumn(format!("{alias}.*")))?;
                for (name, typed) in all_columns(planner, relation) {
                    add(typed, name);
                }
            }
            _ => return Err(QueryError::Unsupported("this item of a SELECT")),
        }
    }
    Ok((parts.join(", "), columns))
}

/// The name that a column has without an alias: its own.
fn natural_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.clone()),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(sqlparser::ast::AccessExpr::Dot(Expr::Identifier(name))) => Some(name.value.clone()),
            _ => None,
        },
        Expr::Nested(inner) => natural_name(inner),
        _ => None,
    }
}

fn all_columns(planner: &mut Planner<'_>, relation: &Relation) -> Vec<(String, Typed)> {
    let prefix = format!("{}.", identifier(&relation.alias));
    match &relation.content {
        Content::Store { id, schema } => {
            let fields = schema.fields().iter();
            fields
                .map(|field| {
                    let steps = if field.member == WHOLE { Vec::new() } else { vec![Step::Member(field.member.to_owned())] };
                    let name = planner.need(id, Column::of_kind(field.name.to_owned(), steps, field.kind));
                    planner.loose.push(field.name.to_owned());
                    (field.name.to_owned(), Typed { sql: format!("{prefix}{name}"), kind: field.kind })
                })
                .collect()
        }
        Content::Rows(columns) => columns
            .iter()
            .map(|column| {
                planner.loose.push(column.name.clone());
                (column.name.clone(), Typed { sql: format!("{prefix}{}", identifier(&column.name)), kind: column.kind })
            })
            .collect(),
    }
}

fn single_name(name: &ObjectName) -> Result<&str, QueryError> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(Ident { value, .. })] => Ok(value),
        _ => Err(QueryError::Unsupported("a qualified table name")),
    }
}

fn from(planner: &mut Planner<'_>, tables: &[TableWithJoins]) -> Result<(String, Vec<Relation>), QueryError> {
    let (table, rest) = tables.split_first().ok_or(QueryError::NoStore)?;
    if !rest.is_empty() {
        return Err(QueryError::CartesianJoin);
    }
    if table.joins.len() >= RELATIONS_MAX {
        return Err(QueryError::TooComplex);
    }
    let (mut sql, first) = relation(planner, &table.relation)?;
    let mut relations = vec![first];
    for Join { relation: joined, join_operator, .. } in &table.joins {
        let (word, constraint) = match join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => ("INNER JOIN", constraint),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => ("LEFT JOIN", constraint),
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => ("RIGHT JOIN", constraint),
            JoinOperator::CrossJoin(_) => return Err(QueryError::CartesianJoin),
            _ => return Err(QueryError::Unsupported("this kind of join")),
        };
        let (text, next) = relation(planner, joined)?;
        if relations.iter().any(|earlier| earlier.alias == next.alias) {
            return Err(QueryError::AmbiguousColumn(next.alias));
        }
        relations.push(next);
        let JoinConstraint::On(condition) = constraint else { return Err(QueryError::CartesianJoin) };
        let scope = Scope { relations: relations.clone(), outputs: Vec::new() };
        if !conjuncts(condition).iter().any(|condition| joins_sides(condition, &scope)) {
            return Err(QueryError::CartesianJoin);
        }
        let condition = expression::boolean(planner, condition, &scope)?;
        sql.push_str(&format!(" {word} {text} ON {condition}"));
    }
    planner.loose.clear();
    Ok((format!(" FROM {sql}"), relations))
}

/// Whether the condition is an equality between the last relation and another.
fn joins_sides(condition: &Expr, scope: &Scope) -> bool {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return false };
    let sides = (expression::relation_of(left, scope), expression::relation_of(right, scope));
    let last = scope.relations.len().saturating_sub(1);
    matches!(sides, (Some(left), Some(right)) if left != right && (left == last || right == last))
}

fn relation(planner: &mut Planner<'_>, factor: &TableFactor) -> Result<(String, Relation), QueryError> {
    planner.count_node()?;
    match factor {
        TableFactor::Table { name, alias, args: None, with_hints, version: None, with_ordinality: false, sample: None, .. }
            if with_hints.is_empty() =>
        {
            let name = single_name(name)?.to_ascii_lowercase();
            let alias = alias.as_ref().map_or_else(|| name.clone(), |alias| alias.name.value.to_ascii_lowercase());
            let content = if let Some((_, columns)) = planner.tables.iter().rev().find(|(table, _)| *table == name) {
                Content::Rows(columns.clone())
            } else {
                let schema = *planner.stores.get(&name).ok_or_else(|| QueryError::UnknownStore(name.clone()))?;
                planner.need(&name, Column::event_time());
                Content::Store { id: name.clone(), schema }
            };
            Ok((format!("{} AS {}", identifier(&name), identifier(&alias)), Relation { alias, content }))
        }
        TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None } => {
            let (sql, columns) = planner.inner(subquery)?;
            let name = alias.name.value.to_ascii_lowercase();
            Ok((format!("({sql}) AS {}", identifier(&name)), Relation { alias: name, content: Content::Rows(columns) }))
        }
        TableFactor::Derived { lateral: false, subquery, alias: None, sample: None } => {
            let (sql, columns) = planner.inner(subquery)?;
            Ok((format!("({sql}) AS \"_rows\""), Relation { alias: "_rows".to_owned(), content: Content::Rows(columns) }))
        }
        _ => Err(QueryError::Unsupported("this kind of table")),
    }
}

/// What the plan tells of a query of one store: the times that it looks at, and how its matches are counted.
fn note_range(planner: &mut Planner<'_>, select: &Select, scope: &Scope, from: &str, condition: Option<&str>) {
    let [Relation { content: Content::Store { .. }, .. }] = scope.relations.as_slice() else { return };
    let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
    planner.matched_sql = Some(format!("SELECT COUNT(*){from}{condition}"));
    let mut range = (None, None);
    for condition in select.selection.as_ref().map(conjuncts).unwrap_or_default() {
        narrow(&mut range, condition);
    }
    planner.range = Some(range);
}

fn narrow(range: &mut (Option<i64>, Option<i64>), condition: &Expr) {
    let is_time = |expr: &Expr| matches!(expr, Expr::Identifier(name) if name.value.eq_ignore_ascii_case("eventtime"));
    let (from, to) = match condition {
        Expr::BinaryOp { left, op, right } if is_time(left) => match op {
            BinaryOperator::Gt | BinaryOperator::GtEq => (time_of(right), None),
            BinaryOperator::Lt | BinaryOperator::LtEq => (None, time_of(right)),
            BinaryOperator::Eq => (time_of(right), time_of(right)),
            _ => (None, None),
        },
        Expr::Between { expr, negated: false, low, high } if is_time(expr) => (time_of(low), time_of(high)),
        _ => (None, None),
    };
    range.0 = range.0.max(from);
    range.1 = match (range.1, to) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    };
}

fn time_of(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => timestamp::parse(text),
            _ => None,
        },
        Expr::TypedString(typed) => match &typed.value.value {
            Value::SingleQuotedString(text) => timestamp::parse(text),
            _ => None,
        },
        Expr::Nested(inner) => time_of(inner),
        _ => None,
    }
}

/// Names of stores in a query, without those that `WITH` makes.
pub(crate) fn store_names(query: &Query, found: &mut Vec<String>) {
    let own: Vec<String> =
        query.with.iter().flat_map(|with| &with.cte_tables).map(|table| table.alias.name.value.to_ascii_lowercase()).collect();
    for table in query.with.iter().flat_map(|with| &with.cte_tables) {
        store_names(&table.query, found);
    }
    names_of_set(&query.body, found);
    found.retain(|name| !own.contains(name));
}

fn names_of_set(body: &SetExpr, found: &mut Vec<String>) {
    match body {
        SetExpr::Select(select) => {
            let factors =
                select.from.iter().flat_map(|table| std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)));
            for factor in factors {
                match factor {
                    TableFactor::Table { name, .. } => {
                        if let Ok(name) = single_name(name).map(str::to_ascii_lowercase)
                            && !found.contains(&name)
                        {
                            found.push(name);
                        }
                    }
                    TableFactor::Derived { subquery, .. } => store_names(subquery, found),
                    _ => {}
                }
            }
        }
        SetExpr::Query(query) => store_names(query, found),
        SetExpr::SetOperation { left, right, .. } => {
            names_of_set(left, found);
            names_of_set(right, found);
        }
        _ => {}
    }
}

/// Kinds that `SELECT` of a `UNION` may show; a scalar subquery has one.
pub(crate) fn single_kind(columns: &[OutputColumn]) -> Result<Kind, QueryError> {
    match columns {
        [column] => Ok(column.kind),
        _ => Err(QueryError::SetWidth("a subquery and its place")),
    }
}
