package simulate

// Here are those whose work looks like an attacker's: who changes permissions, resets passwords, rotates keys or looks after the
// trail. They do it again and again, which is what tells them apart. They begin on the first day, as everybody in this story.

// Where people sit and machines stand: addresses reserved for documentation.
var (
	desks = []string{"198.51.100.10", "198.51.100.11"}
	vpn   = []string{"198.51.100.240", "198.51.100.241", "198.51.100.242"}

	// runners are the machines that deploy: each job runs on any of them.
	runners = []string{
		"192.0.2.20", "192.0.2.21", "192.0.2.22", "192.0.2.23", "192.0.2.24", "192.0.2.25", "192.0.2.26", "192.0.2.27",
		"192.0.2.28", "192.0.2.29", "192.0.2.30", "192.0.2.31",
	}
)

// atWork returns where somebody works: mostly in the office, now and then at home or through the VPN.
func atWork(home string) []string {
	return []string{desks[0], desks[0], desks[0], desks[0], desks[0], desks[1], home, home, vpn[len(home)%len(vpn)]}
}

// AWS calls about permissions, passwords, keys and trails.
var (
	attachAdmin  = api{service: "iam.amazonaws.com", name: "AttachUserPolicy", write: true, global: true, params: `{"userName":"ci-deploy","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`}
	attachRole   = api{service: "iam.amazonaws.com", name: "AttachRolePolicy", write: true, global: true, params: `{"roleName":"app-#","policyArn":"arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"}`, fails: noSuchEntity}
	detachRole   = api{service: "iam.amazonaws.com", name: "DetachRolePolicy", write: true, global: true, params: `{"roleName":"app-#","policyArn":"arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess"}`, fails: noSuchEntity}
	attachUser   = api{service: "iam.amazonaws.com", name: "AttachUserPolicy", write: true, global: true, params: `{"userName":"label-scanner","policyArn":"arn:aws:iam::aws:policy/AmazonSQSFullAccess"}`, fails: noSuchEntity}
	putRole      = api{service: "iam.amazonaws.com", name: "PutRolePolicy", write: true, global: true, params: `{"roleName":"app-#","policyName":"queue","policyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"sqs:SendMessage\",\"Resource\":\"arn:aws:sqs:eu-central-1:123456789012:labels\"}]}"}`, fails: noSuchEntity}
	createRole   = api{service: "iam.amazonaws.com", name: "CreateRole", write: true, global: true, params: `{"roleName":"app-#","assumeRolePolicyDocument":"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ecs-tasks.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"}`, response: `{"role":{"path":"/","roleName":"app-#","roleId":"AROAEXAMPLE#","createDate":"Mar 2, 2026, 9:00:00 AM"}}`}
	getPolicy    = api{service: "iam.amazonaws.com", name: "GetPolicyVersion", global: true, params: `{"policyArn":"arn:aws:iam::aws:policy/AmazonSQSReadOnlyAccess","versionId":"v1"}`, fails: noSuchEntity}
	getUser      = api{service: "iam.amazonaws.com", name: "GetUser", global: true, params: `{"userName":"clerk-#"}`, fails: []failure{{"NoSuchEntityException", "The user with name clerk-# cannot be found."}}}
	newLogin     = api{service: "iam.amazonaws.com", name: "CreateLoginProfile", write: true, global: true, params: `{"userName":"ci-deploy","passwordResetRequired":false}`, response: `{"loginProfile":{"userName":"ci-deploy","createDate":"~","passwordResetRequired":false}}`}
	clerkLogin   = api{service: "iam.amazonaws.com", name: "CreateLoginProfile", write: true, global: true, params: `{"userName":"clerk-#","passwordResetRequired":true}`, response: `{"loginProfile":{"userName":"clerk-#","createDate":"~","passwordResetRequired":true}}`, fails: []failure{{"EntityAlreadyExistsException", "Login Profile for user clerk-# already exists."}}}
	resetLogin   = api{service: "iam.amazonaws.com", name: "UpdateLoginProfile", write: true, global: true, params: `{"userName":"clerk-#","passwordResetRequired":true}`, fails: []failure{{"NoSuchEntityException", "Login Profile for User clerk-# cannot be found."}}}
	newKey       = api{service: "iam.amazonaws.com", name: "CreateAccessKey", write: true, global: true, params: `{"userName":"label-scanner"}`, response: `{"accessKey":{"userName":"label-scanner","accessKeyId":"AKIAIOSFODNN7EXAMPLE","status":"Active","createDate":"~"}}`}
	keyOff       = api{service: "iam.amazonaws.com", name: "UpdateAccessKey", write: true, global: true, params: `{"userName":"label-scanner","accessKeyId":"AKIAIOSFODNN7EXAMPLE","status":"Inactive"}`}
	dropKey      = api{service: "iam.amazonaws.com", name: "DeleteAccessKey", write: true, global: true, params: `{"userName":"label-scanner","accessKeyId":"AKIAIOSFODNN7EXAMPLE"}`}
	listKeys     = api{service: "iam.amazonaws.com", name: "ListAccessKeys", global: true, params: `{"userName":"label-scanner"}`}
	trails       = api{service: "cloudtrail.amazonaws.com", name: "DescribeTrails", params: `{"trailNameList":[],"includeShadowTrails":false}`, fails: throttled}
	trailStatus  = api{service: "cloudtrail.amazonaws.com", name: "GetTrailStatus", params: `{"name":"arn:aws:cloudtrail:eu-central-1:123456789012:trail/company"}`, fails: throttled}
	stopLogging  = api{service: "cloudtrail.amazonaws.com", name: "StopLogging", write: true, params: `{"name":"arn:aws:cloudtrail:eu-central-1:123456789012:trail/company"}`}
	startLogging = api{service: "cloudtrail.amazonaws.com", name: "StartLogging", write: true, params: `{"name":"arn:aws:cloudtrail:eu-central-1:123456789012:trail/company"}`}
	sendLabel    = api{service: "sqs.amazonaws.com", name: "SetQueueAttributes", write: true, params: `{"queueUrl":"https://sqs.eu-central-1.amazonaws.com/123456789012/labels","attributes":{"VisibilityTimeout":"30"}}`, fails: throttled}
	queueState   = api{service: "sqs.amazonaws.com", name: "GetQueueAttributes", params: `{"queueUrl":"https://sqs.eu-central-1.amazonaws.com/123456789012/labels","attributeNames":["All"]}`, fails: throttled}
)

// rotation is the day of the logs on which the scanner gets another key, a week after the last time.
const rotation = 7

// awsStaff returns what they do on AWS.
func awsStaff(id string, guard *actor) []routine {
	infra := awsRole(id, "infrastructure", "terraform", []string{"192.0.2.46", "192.0.2.47"}, []string{terraformAgent})
	rotator := awsRole(id, "key-rotation", "rotate", []string{"192.0.2.48"}, []string{botoAgent})
	desk := awsPerson(id, "nora.fell@tamarisk.example", "198.51.100.190")
	scanner := awsUser(id, "label-scanner", 0, []string{"192.0.2.49"}, []string{botoAgent})
	renewed := awsUser(id, "label-scanner", 1, []string{"192.0.2.49"}, []string{botoAgent})
	console := &actor{
		name: "paul.egger",
		identity: `{"type":"IAMUser","principalId":"AIDAEXAMPLEEGGER0000","arn":"arn:aws:iam::` + id + `:user/paul.egger","accountId":"` + id +
			`","accessKeyId":"ASIA%","userName":"paul.egger","sessionContext":{"attributes":{"creationDate":"~","mfaAuthenticated":"true"}}}`,
		from: atWork("198.51.100.118"), agents: []string{awsConsoleAgent},
	}
	home := []string{awsHome}
	scan := []step{{&queueState, 2, 4}, {&sendLabel, 1, 1}}
	return []routine{
		{name: "permissions", by: infra, when: mornings(), regions: home, gap: [2]int{1, 6}, refused: 0.02, script: []step{
			{&getRole, 2, 6}, {&getPolicy, 2, 4}, {&createRole, 0, 1}, {&attachRole, 1, 3}, {&attachUser, 1, 1}, {&putRole, 1, 2}, {&detachRole, 0, 1},
		}},
		{name: "more permissions", by: infra, when: office(1, 2), regions: home, gap: [2]int{1, 6}, refused: 0.02, script: []step{
			{&getRole, 2, 6}, {&getPolicy, 2, 4}, {&attachRole, 0, 2}, {&putRole, 1, 2},
		}},
		{name: "help", by: desk, when: mornings(), regions: home, gap: [2]int{20, 90}, refused: 0.03, script: []step{
			{&listUsers, 1, 1}, {&getUser, 1, 3}, {&resetLogin, 1, 2}, {&clerkLogin, 0, 1},
		}},
		{name: "more help", by: desk, when: office(1, 3), regions: home, gap: [2]int{20, 90}, refused: 0.03, script: []step{
			{&getUser, 1, 2}, {&resetLogin, 1, 1},
		}},
		{name: "rotate", by: rotator, when: every(24*hour, 10*minute, 60), regions: home, gap: [2]int{1, 3}, script: []step{{&listKeys, 1, 3}}},
		{name: "renew", by: rotator, when: every(24*hour, 15*minute, 60), regions: home, gap: [2]int{1, 3}, days: 1, script: []step{
			{&newKey, 1, 1}, {&keyOff, 1, 1}, {&dropKey, 1, 1},
		}},
		{name: "renew again", by: rotator, when: every(24*hour, 15*minute, 60), regions: home, gap: [2]int{1, 3}, first: rotation, days: 1, script: []step{
			{&newKey, 1, 1}, {&keyOff, 1, 1}, {&dropKey, 1, 1},
		}},
		{name: "scan", by: scanner, when: every(2*hour, hour, 40), regions: home, gap: [2]int{1, 4}, refused: 0.01, days: rotation, script: scan},
		{name: "scan on", by: renewed, when: every(2*hour, hour, 40), regions: home, gap: [2]int{1, 4}, refused: 0.01, first: rotation, script: scan},
		{name: "guard", by: guard, when: every(hour, 22*minute, 30), regions: home, gap: [2]int{1, 2}, refused: 0.002, script: []step{{&trails, 1, 1}, {&trailStatus, 1, 1}}},
		{name: "sign in", by: console, when: sometimes(0.9), regions: home, gap: [2]int{1, 2}, script: []step{{&signIn, 1, 1}}},
		{name: "look", by: console, when: office(1, 3), regions: home, gap: [2]int{2, 30}, refused: 0.03, pick: [2]int{4, 12}, script: []step{
			{&databases, 4, 0}, {&alarms, 6, 0}, {&queueState, 3, 0}, {&putAlarm, 1, 0},
		}},
	}
}

// Alibaba Cloud calls about permissions, passwords, keys and trails.
var (
	acsAttachAdmin  = api{service: "Ram", name: "AttachPolicyToUser", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","PolicyType":"System","PolicyName":"AdministratorAccess","UserName":"deploy-bot"}`, response: acsYes}
	acsAttachRole   = api{service: "Ram", name: "AttachPolicyToRole", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","PolicyType":"System","PolicyName":"AliyunMNSReadOnlyAccess","RoleName":"app-#"}`, response: acsYes, fails: acsNoRole}
	acsAttachUser   = api{service: "Ram", name: "AttachPolicyToUser", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","PolicyType":"System","PolicyName":"AliyunMNSFullAccess","UserName":"label-scanner"}`, response: acsYes}
	acsDetachRole   = api{service: "Ram", name: "DetachPolicyFromRole", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","PolicyType":"System","PolicyName":"AliyunMNSReadOnlyAccess","RoleName":"app-#"}`, response: acsYes, fails: acsNoRole}
	acsPolicy       = api{service: "Ram", name: "GetPolicy", global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","PolicyType":"System","PolicyName":"AliyunMNSReadOnlyAccess"}`, fails: acsDenied}
	acsGetUser      = api{service: "Ram", name: "GetUser", global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"clerk-#"}`, fails: []failure{{"EntityNotExist.User", "The user does not exist: clerk-#."}}}
	acsNewLogin     = api{service: "Ram", name: "CreateLoginProfile", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"deploy-bot","Password":"******","PasswordResetRequired":"false","MFABindRequired":"false"}`, response: `{"RequestId":"#","LoginProfile":{"UserName":"deploy-bot","PasswordResetRequired":false,"MFABindRequired":false,"CreateDate":"~"}}`}
	acsClerkLogin   = api{service: "Ram", name: "CreateLoginProfile", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"clerk-#","Password":"******","PasswordResetRequired":"true","MFABindRequired":"true"}`, response: `{"RequestId":"#","LoginProfile":{"UserName":"clerk-#","PasswordResetRequired":true,"MFABindRequired":true,"CreateDate":"~"}}`, fails: []failure{{"EntityAlreadyExists.User.LoginProfile", "The login profile of the user already exists."}}}
	acsResetLogin   = api{service: "Ram", name: "UpdateLoginProfile", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"clerk-#","Password":"******","PasswordResetRequired":"true"}`, response: acsYes, fails: []failure{{"EntityNotExist.User.LoginProfile", "The login profile of the user does not exist."}}}
	acsNewKey       = api{service: "Ram", name: "CreateAccessKey", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"label-scanner"}`, response: `{"RequestId":"#","AccessKey":{"AccessKeyId":"LTAI5tEXAMPLE","Status":"Active","CreateDate":"~"}}`}
	acsKeyOff       = api{service: "Ram", name: "UpdateAccessKey", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"label-scanner","UserAccessKeyId":"LTAI5tEXAMPLE","Status":"Inactive"}`, response: acsYes}
	acsDropKey      = api{service: "Ram", name: "DeleteAccessKey", write: true, global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"label-scanner","UserAccessKeyId":"LTAI5tEXAMPLE"}`, response: acsYes}
	acsKeys         = api{service: "Ram", name: "ListAccessKeys", global: true, params: `{"AcsHost":"ram.aliyuncs.com","AcsProduct":"Ram","RequestId":"#","UserName":"label-scanner"}`}
	acsTrails       = api{service: "Actiontrail", name: "DescribeTrails", params: `{"AcsHost":"actiontrail.ap-southeast-1.aliyuncs.com","AcsProduct":"Actiontrail","RequestId":"#"}`, fails: acsThrottled}
	acsTrailStatus  = api{service: "Actiontrail", name: "GetTrailStatus", params: `{"AcsHost":"actiontrail.ap-southeast-1.aliyuncs.com","AcsProduct":"Actiontrail","RequestId":"#","Name":"company"}`, fails: acsThrottled}
	acsStopLogging  = api{service: "Actiontrail", name: "StopLogging", write: true, params: `{"AcsHost":"actiontrail.ap-southeast-1.aliyuncs.com","AcsProduct":"Actiontrail","RequestId":"#","Name":"company"}`, response: acsYes}
	acsStartLogging = api{service: "Actiontrail", name: "StartLogging", write: true, params: `{"AcsHost":"actiontrail.ap-southeast-1.aliyuncs.com","AcsProduct":"Actiontrail","RequestId":"#","Name":"company"}`, response: acsYes}
	acsQueue        = api{service: "MNS", name: "SetQueueAttributes", write: true, params: `{"AcsProduct":"MNS","QueueName":"labels","VisibilityTimeout":"30"}`, fails: acsThrottled}
	acsQueueState   = api{service: "MNS", name: "GetQueueAttributes", params: `{"AcsProduct":"MNS","QueueName":"labels"}`, fails: acsThrottled}

	acsNoRole = []failure{{"EntityNotExist.Role", "The role not exists: app-#."}}
)

// acsStaff returns what they do on Alibaba Cloud.
func acsStaff(id string, guard *actor) []routine {
	infra := acsRole(id, "infrastructure", "330000000000000045", []string{"192.0.2.46", "192.0.2.47"}, []string{acsTFAgent})
	rotator := acsRole(id, "key-rotation", "330000000000000046", []string{"192.0.2.65"}, []string{acsSDKAgent})
	desk := acsPerson(id, "nora.fell", "220000000000000104", "198.51.100.190")
	scanner := acsUser(id, "label-scanner", "230000000000000018", 0, []string{"192.0.2.66"}, []string{acsSDKAgent})
	renewed := acsUser(id, "label-scanner", "230000000000000018", 1, []string{"192.0.2.66"}, []string{acsSDKAgent})
	home := []string{acsHome}
	scan := []step{{&acsQueueState, 2, 4}, {&acsQueue, 1, 1}}
	return []routine{
		{name: "permissions", by: infra, when: mornings(), regions: home, gap: [2]int{1, 6}, refused: 0.02, script: []step{
			{&acsGetRole, 2, 6}, {&acsPolicy, 2, 4}, {&acsAttachRole, 1, 3}, {&acsAttachUser, 1, 1}, {&acsDetachRole, 0, 2},
		}},
		{name: "more permissions", by: infra, when: office(1, 2), regions: home, gap: [2]int{1, 6}, refused: 0.02, script: []step{
			{&acsGetRole, 2, 6}, {&acsPolicy, 2, 4}, {&acsAttachRole, 1, 2},
		}},
		{name: "help", by: desk, when: mornings(), regions: home, gap: [2]int{20, 90}, refused: 0.03, script: []step{
			{&acsUsers, 1, 1}, {&acsGetUser, 1, 3}, {&acsResetLogin, 1, 2}, {&acsClerkLogin, 0, 1},
		}},
		{name: "more help", by: desk, when: office(1, 3), regions: home, gap: [2]int{20, 90}, refused: 0.03, script: []step{
			{&acsGetUser, 1, 2}, {&acsResetLogin, 1, 1},
		}},
		{name: "rotate", by: rotator, when: every(24*hour, 10*minute, 60), regions: home, gap: [2]int{1, 3}, script: []step{{&acsKeys, 1, 3}}},
		{name: "renew", by: rotator, when: every(24*hour, 15*minute, 60), regions: home, gap: [2]int{1, 3}, days: 1, script: []step{
			{&acsNewKey, 1, 1}, {&acsKeyOff, 1, 1}, {&acsDropKey, 1, 1},
		}},
		{name: "renew again", by: rotator, when: every(24*hour, 15*minute, 60), regions: home, gap: [2]int{1, 3}, first: rotation, days: 1, script: []step{
			{&acsNewKey, 1, 1}, {&acsKeyOff, 1, 1}, {&acsDropKey, 1, 1},
		}},
		{name: "scan", by: scanner, when: every(2*hour, hour, 40), regions: home, gap: [2]int{1, 4}, refused: 0.01, days: rotation, script: scan},
		{name: "scan on", by: renewed, when: every(2*hour, hour, 40), regions: home, gap: [2]int{1, 4}, refused: 0.01, first: rotation, script: scan},
		{name: "guard", by: guard, when: every(hour, 22*minute, 30), regions: home, gap: [2]int{1, 2}, refused: 0.002, script: []step{{&acsTrails, 1, 1}, {&acsTrailStatus, 1, 1}}},
	}
}
