package simulate

import (
	"fmt"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// The company's homes on AWS: most runs in the first region, a copy for emergencies in the second; global services are
// recorded in the third.
const (
	awsHome   = "eu-central-1"
	awsSpare  = "eu-west-1"
	awsGlobal = "us-east-1"
)

// Ways in which AWS refuses.
var (
	awsDenied = []failure{
		{"AccessDenied", "User is not authorized to perform this operation because no identity-based policy allows it"},
	}
	ec2Denied = []failure{
		{"Client.UnauthorizedOperation", "You are not authorized to perform this operation."},
		{"Client.RequestLimitExceeded", "Request limit exceeded."},
	}
	ec2Gone = []failure{
		{"Client.InvalidInstanceID.NotFound", "The instance ID 'i-#' does not exist"},
		{"Client.OperationNotPermitted", "The instance 'i-#' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."},
	}
	snapshotInUse = []failure{{"Client.InvalidSnapshot.InUse", "The snapshot snap-# is currently in use"}}
	noSuchEntity  = []failure{{"NoSuchEntityException", "The role with name app-# cannot be found."}, awsDenied[0]}
	noSuchBucket  = []failure{{"NoSuchBucketPolicy", "The bucket policy does not exist"}, awsDenied[0]}
	throttled     = []failure{{"ThrottlingException", "Rate exceeded"}}
)

const (
	oneInstance  = `{"instancesSet":{"items":[{"instanceId":"i-#"}]}}`
	oneVolume    = `{"volumeId":"vol-#"}`
	oneBucket    = `{"bucketName":"tamarisk-parcels-#","Host":"s3.eu-central-1.amazonaws.com"}`
	oneParameter = `{"name":"/parcels/settings/#","withDecryption":true}`
	oneService   = `{"cluster":"parcels","service":"label-printer-#","desiredCount":3,"taskDefinition":"label-printer:#"}`
	oneImage     = `{"registryId":"123456789012","repositoryName":"parcels/label-printer","imageTag":"#"}`
	ec2Yes       = `{"requestId":"#","_return":true}`
)

// AWS calls that the company makes.
var (
	describeInstances  = api{service: "ec2.amazonaws.com", name: "DescribeInstances", params: `{"instancesSet":{},"filterSet":{"items":[{"name":"instance-state-name","valueSet":{"items":[{"value":"running"}]}}]}}`, fails: ec2Denied}
	describeStatus     = api{service: "ec2.amazonaws.com", name: "DescribeInstanceStatus", params: `{"instancesSet":{},"includeAllInstances":true}`, fails: ec2Denied}
	describeVolumes    = api{service: "ec2.amazonaws.com", name: "DescribeVolumes", params: `{"volumeSet":{},"filterSet":{}}`, fails: ec2Denied}
	describeSnapshots  = api{service: "ec2.amazonaws.com", name: "DescribeSnapshots", params: `{"snapshotSet":{},"ownersSet":{"items":[{"owner":"self"}]},"filterSet":{}}`, fails: ec2Denied}
	describeGroups     = api{service: "ec2.amazonaws.com", name: "DescribeSecurityGroups", params: `{"securityGroupSet":{},"securityGroupIdSet":{},"filterSet":{}}`, fails: ec2Denied}
	describeRegions    = api{service: "ec2.amazonaws.com", name: "DescribeRegions", params: `{"regionSet":{},"allRegions":true}`}
	runInstances       = api{service: "ec2.amazonaws.com", name: "RunInstances", write: true, params: `{"instancesSet":{"items":[{"imageId":"ami-0abcdef1234567890","minCount":1,"maxCount":1}]},"instanceType":"t3.large","subnetId":"subnet-0a1b2c3d4e5f60718"}`, response: `{"requestId":"#","instancesSet":{"items":[{"instanceId":"i-#","currentState":{"code":0,"name":"pending"}}]}}`, fails: []failure{{"Server.InsufficientInstanceCapacity", "We currently do not have sufficient t3.large capacity in the Availability Zone you requested."}}}
	terminateInstances = api{service: "ec2.amazonaws.com", name: "TerminateInstances", write: true, params: oneInstance, response: `{"requestId":"#","instancesSet":{"items":[{"instanceId":"i-#","currentState":{"code":32,"name":"shutting-down"},"previousState":{"code":16,"name":"running"}}]}}`, fails: ec2Gone}
	stopInstances      = api{service: "ec2.amazonaws.com", name: "StopInstances", write: true, params: oneInstance, response: ec2Yes, fails: ec2Gone}
	startInstances     = api{service: "ec2.amazonaws.com", name: "StartInstances", write: true, params: oneInstance, response: ec2Yes, fails: ec2Gone}
	createTags         = api{service: "ec2.amazonaws.com", name: "CreateTags", write: true, params: `{"resourcesSet":{"items":[{"resourceId":"i-#"}]},"tagSet":{"items":[{"key":"team","value":"parcels"}]}}`, response: ec2Yes}
	createSnapshot     = api{service: "ec2.amazonaws.com", name: "CreateSnapshot", write: true, params: oneVolume, response: `{"requestId":"#","snapshotId":"snap-#","volumeId":"vol-#","status":"pending","volumeSize":"64"}`, fails: throttled}
	deleteSnapshot     = api{service: "ec2.amazonaws.com", name: "DeleteSnapshot", write: true, params: `{"snapshotId":"snap-#","force":false}`, response: ec2Yes, fails: snapshotInUse}
	deleteVolume       = api{service: "ec2.amazonaws.com", name: "DeleteVolume", write: true, params: oneVolume, response: ec2Yes, fails: []failure{{"Client.VolumeInUse", "Volume vol-# is currently attached"}}}
	allowIngress       = api{service: "ec2.amazonaws.com", name: "AuthorizeSecurityGroupIngress", write: true, params: `{"groupId":"sg-#","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443}]}}`, response: ec2Yes, fails: []failure{{"Client.InvalidPermission.Duplicate", "the specified rule already exists"}}}

	listBuckets  = api{service: "s3.amazonaws.com", name: "ListBuckets", params: `{"Host":"s3.amazonaws.com"}`, fails: awsDenied}
	bucketPlace  = api{service: "s3.amazonaws.com", name: "GetBucketLocation", params: oneBucket, fails: awsDenied}
	bucketPolicy = api{service: "s3.amazonaws.com", name: "GetBucketPolicy", params: oneBucket, fails: noSuchBucket}
	tagBucket    = api{service: "s3.amazonaws.com", name: "PutBucketTagging", write: true, params: oneBucket, fails: awsDenied}
	deleteBucket = api{service: "s3.amazonaws.com", name: "DeleteBucket", write: true, params: oneBucket, fails: []failure{{"BucketNotEmpty", "The bucket you tried to delete is not empty"}}}

	listUsers  = api{service: "iam.amazonaws.com", name: "ListUsers", global: true, fails: awsDenied}
	listRoles  = api{service: "iam.amazonaws.com", name: "ListRoles", global: true, params: `{"maxItems":100}`, fails: awsDenied}
	getRole    = api{service: "iam.amazonaws.com", name: "GetRole", global: true, params: `{"roleName":"app-#"}`, fails: noSuchEntity}
	tagRole    = api{service: "iam.amazonaws.com", name: "TagRole", write: true, global: true, params: `{"roleName":"app-#","tags":[{"key":"team","value":"parcels"}]}`, fails: noSuchEntity}
	callerID   = api{service: "sts.amazonaws.com", name: "GetCallerIdentity"}
	assumeRole = api{service: "sts.amazonaws.com", name: "AssumeRole", params: `{"roleArn":"arn:aws:iam::123456789012:role/app-runtime","roleSessionName":"app-#","durationSeconds":3600}`, response: `{"credentials":{"accessKeyId":"%","expiration":"~"},"assumedRoleUser":{"assumedRoleId":"AROAEXAMPLERUNTIME000:app-#","arn":"arn:aws:sts::123456789012:assumed-role/app-runtime/app-#"}}`, fails: awsDenied}
	signIn     = api{service: "signin.amazonaws.com", name: "ConsoleLogin", write: true, global: true, response: `{"ConsoleLogin":"Success"}`, extra: `{"LoginTo":"https://console.aws.amazon.com/console/home","MobileVersion":"No","MFAUsed":"Yes"}`}

	decrypt     = api{service: "kms.amazonaws.com", name: "Decrypt", params: `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"aws:s3:arn":"arn:aws:s3:::tamarisk-parcels"}}`, fails: awsDenied}
	dataKey     = api{service: "kms.amazonaws.com", name: "GenerateDataKey", params: `{"keySpec":"AES_256","keyId":"arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"}`, fails: awsDenied}
	getSecret   = api{service: "secretsmanager.amazonaws.com", name: "GetSecretValue", params: `{"secretId":"parcels/database"}`, fails: []failure{{"ResourceNotFoundException", "Secrets Manager can't find the specified secret."}, awsDenied[0]}}
	getSetting  = api{service: "ssm.amazonaws.com", name: "GetParameter", params: oneParameter, fails: []failure{{"ParameterNotFound", ""}, throttled[0]}}
	putSetting  = api{service: "ssm.amazonaws.com", name: "PutParameter", write: true, params: oneParameter, response: `{"version":7,"tier":"Standard"}`, fails: throttled}
	logGroups   = api{service: "logs.amazonaws.com", name: "DescribeLogGroups", params: `{"limit":50}`, fails: throttled}
	logStream   = api{service: "logs.amazonaws.com", name: "CreateLogStream", write: true, params: `{"logGroupName":"/parcels/jobs","logStreamName":"run-#"}`, fails: []failure{{"ResourceAlreadyExistsException", "The specified log stream already exists"}}}
	deleteLogs  = api{service: "logs.amazonaws.com", name: "DeleteLogGroup", write: true, params: `{"logGroupName":"/parcels/old-#"}`, fails: []failure{{"ResourceNotFoundException", "The specified log group does not exist."}}}
	alarms      = api{service: "monitoring.amazonaws.com", name: "DescribeAlarms", params: `{"maxRecords":100}`, fails: throttled}
	putAlarm    = api{service: "monitoring.amazonaws.com", name: "PutMetricAlarm", write: true, params: `{"alarmName":"queue-#","threshold":100.0,"period":300}`}
	databases   = api{service: "rds.amazonaws.com", name: "DescribeDBInstances", fails: awsDenied}
	dbSnapshot  = api{service: "rds.amazonaws.com", name: "CreateDBSnapshot", write: true, params: `{"dBSnapshotIdentifier":"parcels-#","dBInstanceIdentifier":"parcels"}`, response: `{"dBSnapshotIdentifier":"parcels-#","status":"creating","engine":"postgres"}`}
	dropDB      = api{service: "rds.amazonaws.com", name: "DeleteDBSnapshot", write: true, params: `{"dBSnapshotIdentifier":"parcels-#"}`, response: `{"dBSnapshotIdentifier":"parcels-#","status":"deleted"}`}
	groups      = api{service: "autoscaling.amazonaws.com", name: "DescribeAutoScalingGroups", params: `{"maxRecords":100}`, fails: throttled}
	targets     = api{service: "elasticloadbalancing.amazonaws.com", name: "DescribeTargetHealth", params: `{"targetGroupArn":"arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/parcels/0123456789abcdef"}`, fails: throttled}
	addTarget   = api{service: "elasticloadbalancing.amazonaws.com", name: "RegisterTargets", write: true, params: `{"targetGroupArn":"arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/parcels/0123456789abcdef","targets":[{"id":"i-#"}]}`}
	dropTarget  = api{service: "elasticloadbalancing.amazonaws.com", name: "DeregisterTargets", write: true, params: `{"targetGroupArn":"arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/parcels/0123456789abcdef","targets":[{"id":"i-#"}]}`}
	services    = api{service: "ecs.amazonaws.com", name: "DescribeServices", params: `{"cluster":"parcels","services":["label-printer"]}`, response: "", fails: throttled}
	taskDef     = api{service: "ecs.amazonaws.com", name: "DescribeTaskDefinition", params: `{"taskDefinition":"label-printer"}`, fails: throttled}
	newTaskDef  = api{service: "ecs.amazonaws.com", name: "RegisterTaskDefinition", write: true, params: `{"family":"label-printer","cpu":"512","memory":"1024","networkMode":"awsvpc","containerDefinitions":[{"name":"app","image":"123456789012.dkr.ecr.eu-central-1.amazonaws.com/parcels/label-printer:#","essential":true}]}`, response: `{"taskDefinition":{"family":"label-printer","revision":12,"status":"ACTIVE"}}`, fails: throttled}
	newService  = api{service: "ecs.amazonaws.com", name: "UpdateService", write: true, params: oneService, response: `{"service":{"serviceName":"label-printer-#","status":"ACTIVE","runningCount":3}}`, fails: throttled}
	imageLogin  = api{service: "ecr.amazonaws.com", name: "GetAuthorizationToken"}
	imageLayers = api{service: "ecr.amazonaws.com", name: "BatchCheckLayerAvailability", params: oneImage, fails: throttled}
	layerUpload = api{service: "ecr.amazonaws.com", name: "InitiateLayerUpload", write: true, params: oneImage, fails: throttled}
	layerDone   = api{service: "ecr.amazonaws.com", name: "CompleteLayerUpload", write: true, params: oneImage, fails: []failure{{"LayerAlreadyExistsException", "The image layer already exists in the associated repository."}}}
	putImage    = api{service: "ecr.amazonaws.com", name: "PutImage", write: true, params: oneImage, fails: []failure{{"ImageAlreadyExistsException", "Image with the provided tag already exists."}}}
	stacks      = api{service: "cloudformation.amazonaws.com", name: "DescribeStacks", fails: throttled}
	functions   = api{service: "lambda.amazonaws.com", name: "ListFunctions20150331", params: `{"maxItems":50}`, fails: throttled}
	newCode     = api{service: "lambda.amazonaws.com", name: "UpdateFunctionCode20150331v2", write: true, params: `{"functionName":"resize-label","s3Bucket":"tamarisk-builds","s3Key":"resize-label-#.zip","publish":true}`, fails: []failure{{"ResourceConflictException", "An update is in progress for resource"}}}
)

// Where thieves sit, and what makes calls.
const (
	attackerOnAWS   = "203.0.113.66"
	attackerOnAcs   = "203.0.113.140"
	awsConsoleAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/144.0.0.0 Safari/537.36"
	awsCLIAgent     = "aws-cli/2.31.4 md/awscrt#0.27.6 ua/2.1 os/linux#6.12 md/arch#x86_64 lang/python#3.13.7 md/pyimpl#CPython cfg/retry-mode#standard"
	terraformAgent  = "APN/1.0 HashiCorp/1.0 Terraform/1.13.3 (+https://www.terraform.io) terraform-provider-aws/6.14.1 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.1"
	botoAgent       = "Boto3/1.40.44 md/Botocore#1.40.44 ua/2.1 os/linux#6.12 md/arch#aarch64 lang/python#3.13.7 md/pyimpl#CPython cfg/retry-mode#adaptive"
	watchAgent      = "parcel-watch/3.2 aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.1 md/GOARCH#amd64"
	thiefAgent      = "aws-cli/1.22.34 Python/3.10.12 Linux/5.15.0-kali3-amd64 botocore/1.23.34"
)

// awsPerson is somebody who signs in through IAM Identity Center, at home from another address than in the office.
func awsPerson(id, name, home string) *actor {
	role := "AWSReservedSSO_Engineer_0123456789abcdef"
	return &actor{
		name: name,
		identity: `{"type":"AssumedRole","principalId":"AROAEXAMPLEENGINEER00:` + name + `","arn":"arn:aws:sts::` + id +
			`:assumed-role/` + role + `/` + name + `","accountId":"` + id + `","accessKeyId":"ASIA%","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLEENGINEER00","arn":"arn:aws:iam::` + id +
			`:role/aws-reserved/sso.amazonaws.com/` + role + `","accountId":"` + id + `","userName":"` + role + `"},"attributes":{"creationDate":"~","mfaAuthenticated":"true"}}}`,
		from:   atWork(home),
		agents: []string{awsConsoleAgent, awsConsoleAgent, awsCLIAgent},
	}
}

// awsUser is an IAM user with a long-lived key. Its number tells its keys apart, if it has more than one.
func awsUser(id, name string, number int, from, agents []string) *actor {
	k := key("AKIA", id+name+strings.Repeat("+", number))
	return &actor{
		name: name, key: k, from: from, agents: agents,
		identity: `{"type":"IAMUser","principalId":"AIDAEXAMPLE` + name + `","arn":"arn:aws:iam::` + id + `:user/` + name +
			`","accountId":"` + id + `","accessKeyId":"` + k + `","userName":"` + name + `"}`,
	}
}

// awsRole is a role that a program takes, under the name of its session.
func awsRole(id, name, session string, from, agents []string) *actor {
	return &actor{
		name: name, from: from, agents: agents,
		identity: `{"type":"AssumedRole","principalId":"AROAEXAMPLE` + name + `:` + session + `","arn":"arn:aws:sts::` + id +
			`:assumed-role/` + name + `/` + session + `","accountId":"` + id + `","accessKeyId":"ASIA%","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE` + name + `","arn":"arn:aws:iam::` + id +
			`:role/` + name + `","accountId":"` + id + `","userName":"` + name + `"},"attributes":{"creationDate":"~","mfaAuthenticated":"false"},"ec2RoleDelivery":"2.0"}}`,
	}
}

// awsService is a service of the cloud that acts by itself.
func awsService(host string) *actor {
	return &actor{
		name: host, identity: `{"type":"AWSService","invokedBy":"` + host + `"}`,
		from: []string{host}, agents: []string{host}, invoked: true,
	}
}

// awsAccount returns the company's n-th account on AWS.
func awsAccount(n int) account {
	id := fmt.Sprintf("%012d", 123456789012+n)
	deploy := awsUser(id, "ci-deploy", 0, runners, []string{terraformAgent, awsCLIAgent})
	backup := awsRole(id, "nightly-backup", "i-0123456789abcdef0", []string{"192.0.2.40"}, []string{botoAgent})
	watch := awsRole(id, "parcel-watch", "i-0123456789abcdef0", []string{"192.0.2.41"}, []string{watchAgent})
	jobs := awsRole(id, "hourly-jobs", "i-0123456789abcdef0", []string{"192.0.2.42"}, []string{botoAgent})
	app := awsRole(id, "app-runtime", "i-0123456789abcdef0", []string{"192.0.2.43", "192.0.2.44"}, []string{watchAgent})
	scaler := awsService("autoscaling.amazonaws.com")
	scaler.identity = `{"type":"AssumedRole","principalId":"AROAEXAMPLESCALING000:AutoScaling","arn":"arn:aws:sts::` + id +
		`:assumed-role/AWSServiceRoleForAutoScaling/AutoScaling","accountId":"` + id + `","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLESCALING000","arn":"arn:aws:iam::` + id +
		`:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling","accountId":"` + id + `","userName":"AWSServiceRoleForAutoScaling"},"attributes":{"creationDate":"~","mfaAuthenticated":"false"}},"invokedBy":"autoscaling.amazonaws.com"}`

	guard := awsRole(id, "trail-guard", "trail-guard", []string{"192.0.2.45"}, []string{botoAgent})

	home := []string{awsHome}
	both := []string{awsHome, awsSpare}
	a := account{
		Account: schemas.Account{Provider: schemas.AWS, ID: id},
		bucket:  "tamarisk-cloudtrail",
		global:  awsGlobal,
		format:  cloudTrail{id},
		routines: []routine{
			{name: "watch", by: watch, when: every(10*minute, 20, 15), regions: home, gap: [2]int{0, 2}, refused: 0.002, script: []step{
				{&describeInstances, 2, 2}, {&describeStatus, 2, 2}, {&alarms, 2, 3}, {&targets, 2, 3}, {&services, 2, 2}, {&databases, 0, 2},
			}},
			{name: "watch spare", by: watch, when: every(hour, 395, 20), regions: []string{awsSpare}, gap: [2]int{0, 2}, script: []step{
				{&describeInstances, 2, 2}, {&alarms, 2, 2}, {&functions, 2, 2},
			}},
			{name: "inventory", by: watch, when: every(hour, 400, 60), regions: home, gap: [2]int{0, 1}, refused: 0.02, script: []step{
				{&listBuckets, 1, 1}, {&bucketPlace, 3, 5}, {&bucketPolicy, 3, 5}, {&describeVolumes, 1, 2}, {&describeGroups, 1, 1}, {&listRoles, 1, 1}, {&getRole, 1, 3},
			}},
			{name: "secrets", by: app, when: demand(28), regions: home, gap: [2]int{0, 3}, refused: 0.004, script: []step{
				{&getSecret, 1, 2}, {&getSetting, 1, 4}, {&decrypt, 2, 6}, {&dataKey, 0, 2},
			}},
			{name: "roles", by: awsService("ecs-tasks.amazonaws.com"), when: demand(16), regions: home, gap: [2]int{0, 5}, script: []step{{&assumeRole, 1, 2}}},
			{name: "scale", by: scaler, when: demand(4), regions: home, gap: [2]int{2, 20}, refused: 0.01, script: []step{
				{&runInstances, 0, 2}, {&createTags, 1, 2}, {&addTarget, 1, 1}, {&dropTarget, 0, 1}, {&terminateInstances, 0, 2},
			}},
			{name: "jobs", by: jobs, when: every(hour, 7*minute, 45), regions: home, gap: [2]int{1, 4}, refused: 0.01, script: []step{
				{&logStream, 2, 4}, {&putSetting, 1, 2}, {&getSetting, 2, 4},
			}},
			{name: "reports", by: jobs, when: every(6*hour, 40*minute, 300), regions: home, gap: [2]int{1, 5}, script: []step{
				{&logGroups, 1, 2}, {&stacks, 1, 2}, {&putAlarm, 1, 3}, {&logStream, 1, 2},
			}},
			{name: "backup", by: backup, when: every(24*hour, 2*hour+15*minute, 240), regions: home, gap: [2]int{1, 6}, refused: 0.01, script: []step{
				{&describeVolumes, 1, 1}, {&createSnapshot, 22, 26}, {&createTags, 10, 14}, {&describeSnapshots, 1, 2}, {&deleteSnapshot, 20, 25}, {&dbSnapshot, 2, 2}, {&dropDB, 2, 2},
			}},
			{name: "deploy", by: deploy, when: office(5, 9), regions: both, gap: [2]int{1, 7}, refused: 0.01, script: []step{
				{&callerID, 1, 1}, {&imageLogin, 1, 1}, {&imageLayers, 4, 12}, {&layerUpload, 1, 2}, {&layerDone, 1, 2}, {&putImage, 1, 1},
				{&taskDef, 1, 3}, {&newTaskDef, 1, 1}, {&newService, 1, 2}, {&services, 4, 12}, {&newCode, 0, 1}, {&stacks, 1, 3},
			}},
			{name: "plan", by: deploy, when: office(1, 3), regions: both, gap: [2]int{0, 2}, refused: 0.01, pick: [2]int{40, 110}, script: []step{
				{&describeGroups, 8, 0}, {&describeInstances, 6, 0}, {&describeVolumes, 4, 0}, {&bucketPolicy, 8, 0}, {&bucketPlace, 8, 0},
				{&getRole, 10, 0}, {&databases, 3, 0}, {&logGroups, 3, 0}, {&functions, 3, 0}, {&taskDef, 4, 0},
			}},
			{name: "retire", by: deploy, when: sometimes(0.5), regions: home, gap: [2]int{5, 40}, script: []step{{&describeInstances, 1, 1}, {&terminateInstances, 1, 2}}},
		},
		theft: theft{
			victim: deploy, region: awsHome, from: attackerOnAWS, agent: thiefAgent,
			look:    []*api{&callerID, &listUsers, &listBuckets, &describeRegions, &describeInstances, &describeSnapshots, &describeInstances},
			destroy: &terminateInstances,
			calls:   310, minutes: 14,
			policy: &attachAdmin, login: &newLogin, stop: &stopLogging, guard: guard, start: &startLogging,
			before: 1, at: 3 * hour, live: 32,
		},
		wave: wave{
			by: app, region: awsHome, api: &getSetting, fail: &awsDenied[0], calls: 300, minutes: 24, before: 2, at: 13 * hour, live: 4,
		},
	}
	people := []*actor{
		awsPerson(id, "ada.brandt@tamarisk.example", "198.51.100.61"), awsPerson(id, "jonas.lind@tamarisk.example", "198.51.100.87"),
		awsPerson(id, "mira.okafor@tamarisk.example", "198.51.100.112"), awsPerson(id, "theo.vance@tamarisk.example", "198.51.100.140"),
		awsPerson(id, "yuki.arai@tamarisk.example", "198.51.100.171"),
	}
	people[0].stays = []stay{{4, 99, atWork("198.51.100.66")}}                                      // the provider gave out another address
	people[2].stays = []stay{{2, 3, []string{"198.51.100.225", "198.51.100.226"}}}                  // a journey
	people[4].stays = []stay{{7, 8, []string{"198.51.100.231"}}, {9, 99, atWork("198.51.100.173")}} // another, and a new address after it
	for _, p := range people {
		a.routines = append(a.routines, awsWork(p, both)...)
	}
	a.routines = append(a.routines, awsStaff(id, guard)...)
	return a
}

// awsWork is what a person does on AWS: look around much, change a little, delete something once or twice a week.
func awsWork(p *actor, regions []string) []routine {
	return []routine{
		{name: "sign in", by: p, when: sometimes(0.9), regions: regions, gap: [2]int{1, 2}, script: []step{{&signIn, 1, 1}}},
		{name: "work", by: p, when: office(3, 6), regions: regions, gap: [2]int{1, 45}, refused: 0.03, pick: [2]int{6, 28}, script: []step{
			{&describeInstances, 20, 0}, {&describeStatus, 8, 0}, {&describeVolumes, 8, 0}, {&describeGroups, 8, 0}, {&listBuckets, 8, 0},
			{&bucketPlace, 10, 0}, {&bucketPolicy, 4, 0}, {&alarms, 10, 0}, {&logGroups, 12, 0}, {&services, 10, 0}, {&taskDef, 6, 0},
			{&functions, 6, 0}, {&stacks, 6, 0}, {&databases, 6, 0}, {&groups, 4, 0}, {&listRoles, 3, 0}, {&getRole, 5, 0}, {&callerID, 3, 0},
			{&createTags, 3, 0}, {&startInstances, 2, 0}, {&stopInstances, 2, 0}, {&putSetting, 2, 0}, {&putAlarm, 1, 0}, {&newService, 1, 0},
			{&allowIngress, 1, 0}, {&tagBucket, 1, 0}, {&tagRole, 1, 0},
		}},
		{name: "tidy", by: p, when: sometimes(0.3), regions: regions, gap: [2]int{10, 90}, refused: 0.1, pick: [2]int{1, 3}, script: []step{
			{&terminateInstances, 5, 0}, {&deleteVolume, 4, 0}, {&deleteSnapshot, 4, 0}, {&deleteLogs, 3, 0}, {&deleteBucket, 1, 0}, {&dropDB, 1, 0},
		}},
	}
}
