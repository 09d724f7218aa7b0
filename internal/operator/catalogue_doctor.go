package operator

// The checks of doctor.
const (
	msgFindSettings message = "settings" + zh + "设置"
	msgFindRights   message = "rights" + zh + "权限"
	msgFindClock    message = "clock" + zh + "时钟"
	msgFindKeyFile  message = "key file" + zh + "密钥文件"
	msgFindOrphans  message = "orphans" + zh + "遗漏订单"
	msgFindVacuum   message = "vacuum" + zh + "清理"
	msgFindIndexes  message = "indexes" + zh + "索引"

	msgSettingsRead message = "%d settings, nothing unknown" + zh + "%d 项设置，没有未知项"
	msgNoDatabase   message = "no database is named, or its URL cannot be read" + zh + "没有指定数据库，或其 URL 无法读取"
	msgInRecovery   message = "PostgreSQL %s is a standby: nothing can be written" + zh + "PostgreSQL %s 是备库：无法写入"
	msgReadOnly     message = "only reads: default_transaction_read_only is on for role %s, its database or the server" +
		zh + "只能读取：角色 %s、其数据库或服务器启用了 default_transaction_read_only"
	msgReadOnlyFix     message = "ALTER ROLE … RESET default_transaction_read_only; where the provider set it, the disk is full" + zh + "ALTER ROLE … RESET default_transaction_read_only；如由云厂商设置，通常是磁盘已满"
	msgAwaitStandby    message = "commits wait for a synchronous standby, for more than 5 s (sessions: %d)" + zh + "提交在等待同步备库：%d 个会话已超过 5 秒"
	msgAwaitStandbyFix message = "bring the standby back (pg_stat_replication), or take it out of synchronous_standby_names" + zh + "请恢复备库（pg_stat_replication），或将其移出 synchronous_standby_names"
	msgServerIs        message = "PostgreSQL %s, %.1f ms away, role %s" + zh + "PostgreSQL %s，延迟 %.1f 毫秒，角色 %s"
	msgRightsLacking   message = "role %s lacks %d of the rights that %s needs" + zh + "角色 %s 缺少 %d 项权限（%s 所需）"
	msgRightsAll       message = "role %s has every right that %s needs" + zh + "角色 %s 具备 %s 所需的全部权限"
	msgRowSecurity     message = "row-level security may hide rows of %s from this role" + zh + "行级安全可能对该角色隐藏 %s 的行"
	msgClockDiffers    message = "differs from the database's by %s" + zh + "与数据库相差 %s"
	msgClockFix        message = "let NTP set both clocks: the gateway refuses questions whose time is off" + zh + "请用 NTP 校准两端时钟：网关会拒绝时间不准的查询"
	msgFilesPrivate    message = "nothing to say about the files of secrets" + zh + "密钥文件没有问题"
	msgFilesFix        message = "chmod 600 the files" + zh + "请对这些文件执行 chmod 600"
	msgOrphans         message = "neither a due time nor a review: at least %s, id %s" + zh + "既无到期时间也无复核原因：至少 %s，编号 %s"
	msgOrphansFixed    message = "%s became due" + zh + "%s 已重新到期"
	msgOrphansNone     message = "every open order has a due time or a review" + zh + "每笔未决订单都有到期时间或复核原因"
	msgVacuumOff       message = "autovacuum is off for %s" + zh + "%s 的自动清理已关闭"
	msgVacuumOld       message = "%s was not frozen for %s transactions" + zh + "%s 已有 %s 个事务未冻结"
	msgVacuumDead      message = "%s has %s dead rows beside %s live ones" + zh + "%s 有 %s 个死行，%s 个活行"
	msgVacuumWell      message = "no table waits for its vacuum" + zh + "没有等待清理的表"
	msgIndexesStand    message = "the partial indexes and the trigger stand on orders and all its children" + zh + "orders 及其所有子表上的部分索引和触发器齐全"
	msgGatewayFix      message = "compare the app id, its key and --gateway-url with what ChinaUMS gave you; ask whether it lets this machine's address in" +
		zh + "请与银联商务核对应用编号、密钥和 --gateway-url，并确认其已放行本机的 IP 地址"
	msgAskedGateway message = "app id %s: answered %s" + zh + "应用 %s：答复 %s"
)

// AskedGateway tells what an app id was answered.
func (l Locale) AskedGateway(appID, answer string) string {
	return l.say(msgAskedGateway, appID, answer)
}
