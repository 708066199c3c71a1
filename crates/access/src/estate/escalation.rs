//! How an identity could come to more than it has: by assuming or passing roles, by editing policies, by making keys.

use std::collections::{HashMap, HashSet, VecDeque};

use policy::{MapContext, PrincipalKind};

use super::{Ability, Estate, Identity};

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EscalationStep {
    /// Who acts.
    pub from: String,
    /// The call or calls that it makes.
    pub by: String,
    /// As whom it can act then; `administrator` if it can give itself anything.
    pub to: String,
}

/// A way of an identity to what it cannot do by itself.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Escalation {
    /// Who begins.
    pub principal: String,
    /// The steps in order.
    pub chain: Vec<EscalationStep>,
}

/// The end of a chain that leads to everything.
const ADMINISTRATOR: &str = "administrator";

/// Services that run code with a role that somebody passes, with the calls that it takes.
const PASSING: [(&str, &[&str]); 10] = [
    ("lambda.amazonaws.com", &["lambda:CreateFunction", "lambda:InvokeFunction"]),
    ("ec2.amazonaws.com", &["ec2:RunInstances"]),
    ("glue.amazonaws.com", &["glue:CreateJob", "glue:StartJobRun"]),
    ("sagemaker.amazonaws.com", &["sagemaker:CreateTrainingJob"]),
    ("sagemaker.amazonaws.com", &["sagemaker:CreateNotebookInstance", "sagemaker:CreatePresignedNotebookInstanceUrl"]),
    ("cloudformation.amazonaws.com", &["cloudformation:CreateStack"]),
    ("ecs-tasks.amazonaws.com", &["ecs:RegisterTaskDefinition", "ecs:RunTask"]),
    ("codebuild.amazonaws.com", &["codebuild:CreateProject", "codebuild:StartBuild"]),
    ("states.amazonaws.com", &["states:CreateStateMachine", "states:StartExecution"]),
    ("bedrock.amazonaws.com", &["bedrock:CreateAgent", "bedrock:InvokeAgent"]),
];

/// Calls on a user that give its keys or its policies to the caller.
const ON_USER: [&str; 5] =
    ["iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UpdateLoginProfile", "iam:PutUserPolicy", "iam:AttachUserPolicy"];

impl Estate {
    fn can(&self, identity: &Identity, action: &str, resource: &str) -> bool {
        matches!(self.ability(identity, action, resource).0, Ability::Yes | Ability::If(_))
    }

    /// Whether it may do anything already.
    fn is_administrator(&self, identity: &Identity) -> bool {
        ["iam:AttachUserPolicy", "iam:PutRolePolicy", "ec2:RunInstances", "kms:Decrypt", "organizations:LeaveOrganization"]
            .iter()
            .all(|action| self.decide(identity, action, "*", &MapContext::new()).allowed)
    }

    /// The steps that an identity can take at once.
    fn steps(&self, identity: &Identity) -> Vec<EscalationStep> {
        let mut steps = Vec::new();
        let mut add = |by: String, to: &str| steps.push(EscalationStep { from: identity.arn.clone(), by, to: to.to_owned() });
        self.own_policies(identity, &mut add);
        for other in self.identities.iter().filter(|other| other.arn != identity.arn) {
            match other.kind {
                "user" => {
                    for action in ON_USER.iter().take(3).filter(|action| self.can(identity, action, &other.arn)) {
                        add((*action).to_owned(), &other.arn);
                    }
                }
                _ => self.to_role(identity, other, &mut add),
            }
        }
        steps
    }

    /// Changes of the policies that bind the identity itself.
    fn own_policies(&self, identity: &Identity, add: &mut impl FnMut(String, &str)) {
        let own: &[&str] = if identity.kind == "user" {
            &["iam:PutUserPolicy", "iam:AttachUserPolicy"]
        } else {
            &["iam:PutRolePolicy", "iam:AttachRolePolicy"]
        };
        for action in own.iter().filter(|action| self.can(identity, action, &identity.arn)) {
            add(format!("{action} on itself"), ADMINISTRATOR);
        }
        for group in &identity.groups {
            for action in ["iam:PutGroupPolicy", "iam:AttachGroupPolicy"] {
                if self.can(identity, action, group) {
                    add(format!("{action} on {group}"), ADMINISTRATOR);
                }
            }
        }
        for managed in identity.managed.iter().filter(|arn| !arn.contains(":aws:policy/")) {
            for action in ["iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion"] {
                if self.can(identity, action, managed) {
                    add(format!("{action} on {managed}"), ADMINISTRATOR);
                }
            }
        }
    }

    fn to_role(&self, identity: &Identity, role: &Identity, add: &mut impl FnMut(String, &str)) {
        if self.can(identity, "sts:AssumeRole", &role.arn) {
            add("sts:AssumeRole".to_owned(), &role.arn);
            return;
        }
        if self.can(identity, "iam:UpdateAssumeRolePolicy", &role.arn) {
            add("iam:UpdateAssumeRolePolicy, then sts:AssumeRole".to_owned(), &role.arn);
        }
        if !self.can(identity, "iam:PassRole", &role.arn) {
            return;
        }
        for (service, calls) in PASSING {
            if self.trusts(role, service) && calls.iter().all(|call| self.can(identity, call, "*")) {
                add(format!("iam:PassRole to {service} by {}", calls.join(", ")), &role.arn);
            }
        }
    }

    /// Whether a role lets a service assume it.
    fn trusts(&self, role: &Identity, service: &str) -> bool {
        let Some((trust, _)) = self.resources.get(&role.arn) else { return false };
        let Some(attached) = trust.attached() else { return false };
        let caller = policy::Principal::unaccounted(PrincipalKind::Service { name: service.to_owned() });
        let check = policy::Check::new("sts:AssumeRole", policy::Resource { arn: role.arn.clone(), ..policy::Resource::default() });
        attached.policy.says(&caller, &check, &MapContext::new(), false) == Some(policy::Effect::Allow)
    }
}

/// Steps of one chain at most.
const CHAIN_MAX: usize = 6;

/// For each identity that cannot do it by itself, the shortest chain to one that can. Without a target: to one that can give
/// itself anything.
pub fn escalations(estate: &Estate, target: Option<(&str, &str)>) -> Vec<Escalation> {
    let reaches = |identity: &Identity| match target {
        Some((action, resource)) => estate.can(identity, action, resource),
        None => estate.is_administrator(identity),
    };
    let goals: HashSet<&str> =
        estate.identities.iter().filter(|identity| reaches(identity)).map(|identity| identity.arn.as_str()).collect();
    let mut steps: HashMap<&str, Vec<EscalationStep>> = HashMap::new();
    for identity in &estate.identities {
        if !goals.contains(identity.arn.as_str()) {
            steps.insert(&identity.arn, estate.steps(identity));
        }
    }
    let starts = estate.identities.iter().filter(|identity| !goals.contains(identity.arn.as_str()));
    starts.filter_map(|identity| shortest(&identity.arn, &steps, &goals)).collect()
}

fn shortest(start: &str, steps: &HashMap<&str, Vec<EscalationStep>>, goals: &HashSet<&str>) -> Option<Escalation> {
    let mut seen: HashSet<&str> = HashSet::from([start]);
    let mut queue: VecDeque<(&str, Vec<&EscalationStep>)> = VecDeque::from([(start, Vec::new())]);
    while let Some((at, chain)) = queue.pop_front() {
        if chain.len() >= CHAIN_MAX {
            continue;
        }
        for step in steps.get(at).into_iter().flatten() {
            let mut longer = chain.clone();
            longer.push(step);
            if step.to == ADMINISTRATOR || goals.contains(step.to.as_str()) {
                return Some(Escalation { principal: start.to_owned(), chain: longer.into_iter().cloned().collect() });
            }
            if seen.insert(&step.to) {
                queue.push_back((&step.to, longer));
            }
        }
    }
    None
}
