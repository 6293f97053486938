package simulate

import (
	"fmt"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// The company's homes on Alibaba Cloud; global services are recorded in the third.
const (
	acsHome   = "ap-southeast-1"
	acsSpare  = "cn-shanghai"
	acsGlobal = "cn-hangzhou"
)

// Ways in which Alibaba Cloud refuses.
var (
	acsDenied     = []failure{{"NoPermission", "You are not authorized to do this action."}, {"Forbidden.RAM", "User not authorized to operate on the specified resource."}}
	acsThrottled  = []failure{{"Throttling.User", "Request was denied due to user flow control."}}
	acsNoInstance = []failure{{"InvalidInstanceId.NotFound", "The specified InstanceId does not exist."}, {"IncorrectInstanceStatus", "The current status of the resource does not support this operation."}}
	acsNoDisk     = []failure{{"InvalidDiskId.NotFound", "The specified disk does not exist."}, {"IncorrectDiskStatus", "The current disk status does not support this operation."}}
)

const (
	acsInstance = `{"AcsHost":"ecs.ap-southeast-1.aliyuncs.com","AcsProduct":"Ecs","RequestId":"#","InstanceId":"i-t4n#","RegionId":"ap-southeast-1"}`
	acsList     = `{"AcsHost":"ecs.ap-southeast-1.aliyuncs.com","AcsProduct":"Ecs","RequestId":"#","PageSize":"50","PageNumber":"1","RegionId":"ap-southeast-1"}`
	acsDisk     = `{"AcsHost":"ecs.ap-southeast-1.aliyuncs.com","AcsProduct":"Ecs","RequestId":"#","DiskId":"d-t4n#","RegionId":"ap-southeast-1"}`
	acsSnap     = `{"AcsHost":"ecs.ap-southeast-1.aliyuncs.com","AcsProduct":"Ecs","RequestId":"#","SnapshotId":"s-t4n#","Force":"false"}`
	acsBalancer = `{"AcsHost":"slb.ap-southeast-1.aliyuncs.com","AcsProduct":"Slb","LoadBalancerId":"lb-t4n0123456789","BackendServers":"[{\"ServerId\":\"i-t4n#\"}]"}`
	acsYes      = `{"RequestId":"#"}`

	ecsInstance = "ACS::ECS::Instance"
	ecsDisk     = "ACS::ECS::Disk"
	ecsSnapshot = "ACS::ECS::Snapshot"
)

// Alibaba Cloud calls that the company makes.
var (
	acsInstances = api{service: "Ecs", name: "DescribeInstances", params: acsList, fails: acsDenied}
	acsStatus    = api{service: "Ecs", name: "DescribeInstanceStatus", params: acsList, fails: acsThrottled}
	acsDisks     = api{service: "Ecs", name: "DescribeDisks", params: acsList, fails: acsDenied}
	acsSnaps     = api{service: "Ecs", name: "DescribeSnapshots", params: acsList, fails: acsDenied}
	acsGroups    = api{service: "Ecs", name: "DescribeSecurityGroups", params: acsList, fails: acsDenied}
	acsRegions   = api{service: "Ecs", name: "DescribeRegions", params: `{"AcsProduct":"Ecs"}`}
	acsRun       = api{service: "Ecs", name: "RunInstances", write: true, params: `{"AcsProduct":"Ecs","RegionId":"ap-southeast-1","ImageId":"m-t4n0123456789","InstanceType":"ecs.g7.large","Amount":"1","VSwitchId":"vsw-t4n0123456789"}`, response: `{"RequestId":"#","InstanceIdSets":{"InstanceIdSet":["i-t4n#"]}}`, resource: ecsInstance, fails: []failure{{"OperationDenied.NoStock", "The requested resource is sold out in the specified zone."}}}
	acsDelete    = api{service: "Ecs", name: "DeleteInstance", write: true, params: acsInstance, response: acsYes, resource: ecsInstance, fails: acsNoInstance}
	acsStop      = api{service: "Ecs", name: "StopInstance", write: true, params: acsInstance, response: acsYes, resource: ecsInstance, fails: acsNoInstance}
	acsStart     = api{service: "Ecs", name: "StartInstance", write: true, params: acsInstance, response: acsYes, resource: ecsInstance, fails: acsNoInstance}
	acsReboot    = api{service: "Ecs", name: "RebootInstance", write: true, params: acsInstance, response: acsYes, resource: ecsInstance, fails: acsNoInstance}
	acsTag       = api{service: "Ecs", name: "TagResources", write: true, params: acsInstance, response: acsYes, resource: ecsInstance}
	acsSnapshot  = api{service: "Ecs", name: "CreateSnapshot", write: true, params: acsDisk, response: `{"RequestId":"#","SnapshotId":"s-t4n#"}`, resource: ecsDisk, fails: acsThrottled}
	acsDropSnap  = api{service: "Ecs", name: "DeleteSnapshot", write: true, params: acsSnap, response: acsYes, resource: ecsSnapshot, fails: []failure{{"SnapshotCreatedDisk", "The snapshot has been used to create disks."}}}
	acsDropDisk  = api{service: "Ecs", name: "DeleteDisk", write: true, params: acsDisk, response: acsYes, resource: ecsDisk, fails: acsNoDisk}
	acsIngress   = api{service: "Ecs", name: "AuthorizeSecurityGroup", write: true, params: `{"AcsProduct":"Ecs","SecurityGroupId":"sg-t4n#","IpProtocol":"tcp","PortRange":"443/443"}`, response: acsYes, fails: acsDenied}

	acsDatabases = api{service: "Rds", name: "DescribeDBInstances", params: `{"AcsProduct":"Rds","RegionId":"ap-southeast-1","PageSize":"30"}`, fails: acsDenied}
	acsDBBackup  = api{service: "Rds", name: "CreateBackup", write: true, params: `{"AcsProduct":"Rds","DBInstanceId":"rm-t4n0123456789","BackupMethod":"Physical"}`, response: acsYes, fails: acsThrottled}
	acsBalancers = api{service: "Slb", name: "DescribeLoadBalancers", params: `{"AcsProduct":"Slb","RegionId":"ap-southeast-1"}`, fails: acsThrottled}
	acsHealth    = api{service: "Slb", name: "DescribeHealthStatus", params: `{"AcsProduct":"Slb","LoadBalancerId":"lb-t4n0123456789"}`, fails: acsThrottled}
	acsAddServer = api{service: "Slb", name: "AddBackendServers", write: true, params: acsBalancer, response: acsYes}
	acsOffServer = api{service: "Slb", name: "RemoveBackendServers", write: true, params: acsBalancer, response: acsYes}
	acsClusters  = api{service: "CS", name: "DescribeClustersV1", params: `{"AcsProduct":"CS"}`, fails: acsDenied}
	acsDeploy    = api{service: "CS", name: "ModifyCluster", write: true, params: `{"AcsProduct":"CS","ClusterId":"c0123456789abcdef","revision":"#"}`, response: acsYes, fails: acsThrottled}
	acsRepos     = api{service: "cr", name: "ListRepository", params: `{"AcsProduct":"cr","InstanceId":"cri-0123456789"}`, fails: acsThrottled}
	acsPush      = api{service: "cr", name: "PushRepository", write: true, params: `{"AcsProduct":"cr","RepoName":"label-printer","Tag":"#"}`, fails: acsThrottled}
	acsBucket    = api{service: "Oss", name: "GetBucketInfo", params: `{"bucketName":"tamarisk-parcels-sg"}`, fails: acsDenied}
	acsTagBucket = api{service: "Oss", name: "PutBucketTags", write: true, params: `{"bucketName":"tamarisk-parcels-sg"}`, fails: acsDenied}
	acsRecords   = api{service: "Alidns", name: "DescribeDomainRecords", global: true, params: `{"AcsProduct":"Alidns","DomainName":"tamarisk.example"}`, fails: acsThrottled}
	acsNewRecord = api{service: "Alidns", name: "UpdateDomainRecord", write: true, global: true, params: `{"AcsProduct":"Alidns","RecordId":"#","RR":"parcels","Type":"A"}`, fails: []failure{{"DomainRecordDuplicate", "The DNS record already exists."}}}
	acsUsers     = api{service: "Ram", name: "ListUsers", global: true, params: `{"AcsProduct":"Ram"}`, fails: acsDenied}
	acsGetRole   = api{service: "Ram", name: "GetRole", global: true, params: `{"AcsProduct":"Ram","RoleName":"app-#"}`, fails: []failure{{"EntityNotExist.Role", "The role not exists: app-#."}}}
	acsWho       = api{service: "Sts", name: "GetCallerIdentity", params: `{"AcsProduct":"Sts"}`}
	acsAssume    = api{service: "Sts", name: "AssumeRole", params: `{"AcsProduct":"Sts","RoleArn":"acs:ram::1234567890123456:role/app-runtime","RoleSessionName":"app-#"}`, fails: acsDenied}
	acsDecrypt   = api{service: "Kms", name: "Decrypt", params: `{"AcsProduct":"Kms","CiphertextBlob":"****"}`, fails: acsDenied}
	acsDataKey   = api{service: "Kms", name: "GenerateDataKey", params: `{"AcsProduct":"Kms","KeyId":"key-sgp0123456789","KeySpec":"AES_256"}`, fails: acsDenied}
	acsLogs      = api{service: "Sls", name: "ListLogStores", params: `{"projectName":"parcels"}`, fails: acsThrottled}
	acsSignIn    = api{service: "AasSub", name: "ConsoleSignin", write: true, global: true, params: `{}`, extra: `{"loginAccount":"engineer@tamarisk.example","isMFAChecked":"true"}`}
)

const (
	acsConsoleAgent = "AliyunConsole"
	acsCLIAgent     = "Aliyun-CLI/3.0.298"
	acsTFAgent      = "AlibabaCloud (linux; amd64) Golang/1.25.1 Core/0.01 TeaDSL/1 HashiCorp-Terraform/1.13.3 Provider/1.260.1"
	acsSDKAgent     = "AlibabaCloud (linux; aarch64) Python/3.13.7 Core/0.4.4 TeaDSL/1"
	acsWatchAgent   = "parcel-watch/3.2 AlibabaCloud (linux; amd64) Golang/1.25.1 Core/0.01"
	acsThiefAgent   = "AlibabaCloud (Linux; x86_64) Python/3.9.2 Core/2.13.36 python-requests/2.25.1"
)

// acsPerson is somebody who signs in with a second factor, at home from another address than in the office.
func acsPerson(id, name, number, home string) *actor {
	return &actor{
		name: name, from: atWork(home),
		agents: []string{acsConsoleAgent, acsConsoleAgent, acsCLIAgent},
		identity: `{"type":"ram-user","principalId":"` + number + `","accountId":"` + id + `","userName":"` + name +
			`","sessionContext":{"attributes":{"mfaAuthenticated":"true","creationDate":"~"}}}`,
	}
}

// acsUser is a RAM user with a long-lived key; age tells its keys apart, if it has more than one.
func acsUser(id, name, number string, age int, from, agents []string) *actor {
	k := key("LTAI", id+name+strings.Repeat("+", age))
	return &actor{
		name: name, key: k, from: from, agents: agents,
		identity: `{"type":"ram-user","principalId":"` + number + `","accountId":"` + id + `","accessKeyId":"` + k +
			`","userName":"` + name + `"}`,
	}
}

// acsRole is a role that a program takes.
func acsRole(id, name, number string, from, agents []string) *actor {
	return &actor{
		name: name, from: from, agents: agents,
		identity: `{"type":"assumed-role","principalId":"` + number + `:` + name + `","accountId":"` + id +
			`","accessKeyId":"STS.N%","userName":"` + name + `:` + name + `","sessionContext":{"attributes":{"mfaAuthenticated":"false","creationDate":"~"}}}`,
	}
}

// acsService is a service of the cloud that acts by itself.
func acsService(host string) *actor {
	return &actor{
		name: host, identity: `{"type":"system","userName":"` + host + `"}`,
		from: []string{host}, agents: []string{host}, invoked: true,
	}
}

// alibabaAccount returns the company's n-th account on Alibaba Cloud.
func alibabaAccount(n int) account {
	id := fmt.Sprintf("%016d", 1234567890123456+n)
	deploy := acsUser(id, "deploy-bot", "230000000000000017", 0, runners, []string{acsTFAgent})
	backup := acsRole(id, "nightly-backup", "330000000000000041", []string{"192.0.2.60"}, []string{acsSDKAgent})
	watch := acsRole(id, "parcel-watch", "330000000000000042", []string{"192.0.2.61"}, []string{acsWatchAgent})
	app := acsRole(id, "app-runtime", "330000000000000043", []string{"192.0.2.62", "192.0.2.63"}, []string{acsSDKAgent})
	scaler := acsService("ess.aliyuncs.com")

	guard := acsRole(id, "trail-guard", "330000000000000044", []string{"192.0.2.64"}, []string{acsSDKAgent})

	home := []string{acsHome}
	both := []string{acsHome, acsSpare}
	a := account{
		Account: schemas.Account{Provider: schemas.Alibaba, ID: id},
		bucket:  "tamarisk-actiontrail-" + id,
		global:  acsGlobal,
		format:  actionTrail{id},
		routines: []routine{
			{name: "watch", by: watch, when: every(10*minute, 35, 15), regions: home, gap: [2]int{0, 2}, refused: 0.002, script: []step{
				{&acsInstances, 2, 2}, {&acsStatus, 2, 3}, {&acsBalancers, 2, 2}, {&acsHealth, 2, 3}, {&acsDatabases, 0, 2},
			}},
			{name: "watch spare", by: watch, when: every(hour, 655, 20), regions: []string{acsSpare}, gap: [2]int{0, 2}, script: []step{
				{&acsInstances, 2, 2}, {&acsDisks, 2, 2},
			}},
			{name: "inventory", by: watch, when: every(hour, 700, 60), regions: home, gap: [2]int{0, 1}, refused: 0.02, script: []step{
				{&acsBucket, 2, 4}, {&acsDisks, 1, 2}, {&acsGroups, 1, 1}, {&acsGetRole, 1, 2}, {&acsRecords, 1, 1}, {&acsLogs, 1, 2},
			}},
			{name: "secrets", by: app, when: demand(19), regions: home, gap: [2]int{0, 3}, refused: 0.004, script: []step{
				{&acsAssume, 0, 1}, {&acsDecrypt, 1, 5}, {&acsDataKey, 0, 2},
			}},
			{name: "scale", by: scaler, when: demand(3), regions: home, gap: [2]int{2, 20}, refused: 0.01, script: []step{
				{&acsRun, 0, 2}, {&acsTag, 1, 2}, {&acsAddServer, 1, 1}, {&acsOffServer, 0, 1}, {&acsDelete, 0, 2},
			}},
			{name: "backup", by: backup, when: every(24*hour, 18*hour+30*minute, 240), regions: home, gap: [2]int{1, 6}, refused: 0.01, script: []step{
				{&acsDisks, 1, 1}, {&acsSnapshot, 16, 19}, {&acsSnaps, 1, 2}, {&acsDropSnap, 15, 18}, {&acsDBBackup, 1, 1},
			}},
			{name: "deploy", by: deploy, when: office(4, 7), regions: both, gap: [2]int{1, 8}, refused: 0.01, script: []step{
				{&acsWho, 1, 1}, {&acsRepos, 2, 6}, {&acsPush, 1, 4}, {&acsClusters, 2, 8}, {&acsDeploy, 1, 3}, {&acsHealth, 4, 10}, {&acsNewRecord, 0, 1},
			}},
			{name: "plan", by: deploy, when: office(1, 3), regions: both, gap: [2]int{0, 2}, refused: 0.01, pick: [2]int{30, 90}, script: []step{
				{&acsGroups, 8, 0}, {&acsInstances, 6, 0}, {&acsDisks, 4, 0}, {&acsBucket, 8, 0}, {&acsGetRole, 8, 0}, {&acsDatabases, 4, 0}, {&acsRecords, 4, 0},
			}},
			{name: "retire", by: deploy, when: sometimes(0.4), regions: home, gap: [2]int{5, 40}, script: []step{{&acsInstances, 1, 1}, {&acsDelete, 1, 2}}},
		},
		theft: theft{
			victim: deploy, region: acsHome, from: attackerOnAcs, agent: acsThiefAgent,
			look:    []*api{&acsWho, &acsUsers, &acsRegions, &acsInstances, &acsDisks, &acsInstances},
			destroy: &acsDelete,
			calls:   200, minutes: 12,
			policy: &acsAttachAdmin, login: &acsNewLogin, stop: &acsStopLogging, guard: guard, start: &acsStartLogging,
			before: 2, at: 20 * hour, live: 34,
		},
		wave: wave{
			by: app, region: acsHome, api: &acsDecrypt, fail: &acsDenied[1], calls: 260, minutes: 20, before: 1, at: 6 * hour, live: 5,
		},
	}
	people := []*actor{
		acsPerson(id, "mira.okafor", "220000000000000101", "198.51.100.112"), acsPerson(id, "wei.tan", "220000000000000102", "198.51.100.203"),
		acsPerson(id, "lena.roth", "220000000000000103", "198.51.100.219"),
	}
	people[0].stays = []stay{{2, 3, []string{"198.51.100.225", "198.51.100.226"}}} // a journey
	people[1].stays = []stay{{3, 99, atWork("198.51.100.207")}}                    // the provider gave out another address
	for _, p := range people {
		a.routines = append(a.routines, acsWork(p, both)...)
	}
	a.routines = append(a.routines, acsStaff(id, guard)...)
	return a
}

// acsWork is what a person does on Alibaba Cloud.
func acsWork(p *actor, regions []string) []routine {
	return []routine{
		{name: "sign in", by: p, when: sometimes(0.9), regions: regions, gap: [2]int{1, 2}, script: []step{{&acsSignIn, 1, 1}}},
		{name: "work", by: p, when: office(3, 6), regions: regions, gap: [2]int{1, 45}, refused: 0.03, pick: [2]int{6, 28}, script: []step{
			{&acsInstances, 20, 0}, {&acsStatus, 8, 0}, {&acsDisks, 8, 0}, {&acsSnaps, 5, 0}, {&acsGroups, 8, 0}, {&acsBucket, 8, 0},
			{&acsDatabases, 8, 0}, {&acsBalancers, 8, 0}, {&acsClusters, 8, 0}, {&acsRepos, 5, 0}, {&acsLogs, 8, 0}, {&acsRecords, 4, 0},
			{&acsUsers, 3, 0}, {&acsGetRole, 3, 0}, {&acsTag, 3, 0}, {&acsStart, 2, 0}, {&acsStop, 2, 0}, {&acsReboot, 2, 0},
			{&acsIngress, 1, 0}, {&acsTagBucket, 1, 0}, {&acsNewRecord, 1, 0},
		}},
		{name: "tidy", by: p, when: sometimes(0.3), regions: regions, gap: [2]int{10, 90}, refused: 0.1, pick: [2]int{1, 3}, script: []step{
			{&acsDelete, 5, 0}, {&acsDropDisk, 4, 0}, {&acsDropSnap, 4, 0},
		}},
	}
}
