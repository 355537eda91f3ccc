"""Every command that the agent runs on Windows. Nothing here comes from outside: the texts are constants, and
the only numbers put into them are the agent's own places in the event log.

PowerShell is called by its full path with a fixed text that reads and answers JSON; it changes nothing.
Sources: PowerShell 5.1 (in every Windows since 10 and Server 2016), about_PowerShell_exe, wevtutil, w32tm,
CIM classes of Win32, MSFT_*; Windows Update Agent API.
"""

import os
import re
from collections.abc import Sequence
from typing import Any

from forestall.collect.platforms.decoding import to_rows, to_text
from forestall.collect.viewing import NotHere, View

ASK_S = 60.0
LONG_ASK_S = 300.0  # Windows Update
EVENTS_BYTES = 4 << 20  # UTF-16: two bytes a letter
NO_SUCH_CHANNEL = 15007  # ERROR_EVT_CHANNEL_NOT_FOUND
EVENTS_A_LOOK = 500

_BEFORE = (
    "$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue';"
    "[Console]::OutputEncoding=New-Object Text.UTF8Encoding $false;"
)
_FAILED = (
    "[Console]::Error.WriteLine((($_.FullyQualifiedErrorId+': '+$_.Exception.Message) -replace '\\s+',' '));"
    "exit 1"
)
_UNINSTALL = r"Software\Microsoft\Windows\CurrentVersion\Uninstall\*"
_UNINSTALL_32 = r"Software\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\*"
_RUN = r"Software\Microsoft\Windows\CurrentVersion"
_RUN_32 = r"Software\WOW6432Node\Microsoft\Windows\CurrentVersion"

# What is asked, by name: a pipeline whose objects are the answer. An error ends it, and is said.
QUESTIONS = {
    "system": (
        "$o=Get-CimInstance Win32_OperatingSystem;$c=Get-CimInstance Win32_ComputerSystem;"
        "$b=Get-CimInstance Win32_BIOS;",
        "[pscustomobject]@{Caption=$o.Caption;Version=$o.Version;ProductType=$o.ProductType;"
        "Language=$o.OSLanguage;Domain=$c.Domain;PartOfDomain=$c.PartOfDomain;Maker=$c.Manufacturer;"
        "Model=$c.Model;Serial=$b.SerialNumber;Firmware=$b.SMBIOSBIOSVersion;Memory=$c.TotalPhysicalMemory}",
    ),
    "services": (
        "$t=@{};Get-ChildItem HKLM:\\SYSTEM\\CurrentControlSet\\Services -ErrorAction SilentlyContinue|"
        "ForEach-Object{if(Test-Path ($_.PSPath+'\\TriggerInfo')){$t[$_.PSChildName]=1}};",
        "Get-CimInstance Win32_Service|ForEach-Object{[pscustomobject]@{Name=$_.Name;Title=$_.DisplayName;"
        "State=$_.State;StartMode=$_.StartMode;Delayed=$_.DelayedAutoStart;Path=$_.PathName;"
        "Account=$_.StartName;ExitCode=$_.ExitCode;Triggered=$t.ContainsKey($_.Name)}}",
    ),
    "software": (
        "",
        f"@(@('HKLM:\\{_UNINSTALL}','64'),@('HKLM:\\{_UNINSTALL_32}','32'),@('HKCU:\\{_UNINSTALL}','user'))|"
        "ForEach-Object{$w=$_[1];Get-ItemProperty $_[0] -ErrorAction SilentlyContinue|"
        "ForEach-Object{[pscustomobject]@{Name=$_.DisplayName;Version=$_.DisplayVersion;"
        "Publisher=$_.Publisher;System=$_.SystemComponent;Parent=$_.ParentKeyName;Where=$w}}}",
    ),
    "users": (
        "",
        "Get-CimInstance Win32_UserAccount -Filter 'LocalAccount=True'|ForEach-Object{[pscustomobject]@{"
        "Name=$_.Name;Sid=$_.SID;Disabled=$_.Disabled;PasswordRequired=$_.PasswordRequired;"
        "PasswordExpires=$_.PasswordExpires;Locked=$_.Lockout}}",
    ),
    "groups": (
        "",
        "Get-CimInstance Win32_Group -Filter 'LocalAccount=True'|ForEach-Object{$n=$_.Name;$s=$_.SID;$e='';"
        "$m=@();try{$m=@(([ADSI]('WinNT://./'+$n+',group')).psbase.Invoke('Members')|ForEach-Object{"
        "$_.GetType().InvokeMember('ADsPath','GetProperty',$null,$_,$null)})}catch{$e=$_.Exception.Message};"
        "[pscustomobject]@{Name=$n;Sid=$s;Members=$m;Error=$e}}",
    ),
    "tasks": (
        "",
        "Get-ScheduledTask|Where-Object{$_.TaskPath -notlike '\\Microsoft\\*'}|ForEach-Object{"
        "[pscustomobject]@{Path=$_.TaskPath;Name=$_.TaskName;State=(''+$_.State);"
        "User=$_.Principal.UserId;Group=$_.Principal.GroupId;Level=(''+$_.Principal.RunLevel);"
        "Actions=@($_.Actions|ForEach-Object{(''+$_.Execute+' '+$_.Arguments+$_.ClassId).Trim()});"
        "Triggers=@($_.Triggers|ForEach-Object{$_.CimClass.CimClassName+' '+$_.StartBoundary+' '+"
        "$_.Repetition.Interval})}}",
    ),
    "startup": (
        "",
        f"@('HKLM:\\{_RUN}\\Run','HKLM:\\{_RUN}\\RunOnce','HKLM:\\{_RUN_32}\\Run','HKLM:\\{_RUN_32}\\RunOnce',"
        f"'HKCU:\\{_RUN}\\Run','HKCU:\\{_RUN}\\RunOnce')+@(Get-ChildItem Registry::HKEY_USERS -ErrorAction "
        "SilentlyContinue|Where-Object{$_.PSChildName -match '^S-1-5-21-[-0-9]+$'}|ForEach-Object{"
        f"'Registry::'+$_.Name+'\\{_RUN}\\Run';'Registry::'+$_.Name+'\\{_RUN}\\RunOnce'}})|"
        "Where-Object{Test-Path $_}|ForEach-Object{$k=$_;$i=Get-Item $_;$i.GetValueNames()|ForEach-Object{"
        "[pscustomobject]@{Key=$k;Name=$_;Command=[string]$i.GetValue($_)}}}",
    ),
    "encryption": (
        "",
        "Get-CimInstance -Namespace root/CIMV2/Security/MicrosoftVolumeEncryption Win32_EncryptableVolume|"
        "ForEach-Object{[pscustomobject]@{Drive=$_.DriveLetter;Type=$_.VolumeType;"
        "Protection=$_.ProtectionStatus;Conversion=$_.ConversionStatus;Method=$_.EncryptionMethod}}",
    ),
    "updates": (
        "$s=(New-Object -ComObject Microsoft.Update.Session).CreateUpdateSearcher();$s.Online=$false;",
        "$s.Search('IsInstalled=0 and IsHidden=0').Updates|ForEach-Object{[pscustomobject]@{Title=$_.Title;"
        "Severity=$_.MsrcSeverity;Categories=@($_.Categories|ForEach-Object{$_.CategoryID});Type=$_.Type}}",
    ),
    "installed-updates": (
        "",
        "Get-CimInstance Win32_QuickFixEngineering|ForEach-Object{[pscustomobject]@{Id=$_.HotFixID;"
        "What=$_.Description;On=$_.InstalledOn}}",
    ),
    "restart": (
        "$c='HKLM:\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\';",
        "[pscustomobject]@{Servicing=(Test-Path ($c+'Component Based Servicing\\RebootPending'));"
        "Update=(Test-Path ($c+'WindowsUpdate\\Auto Update\\RebootRequired'))}",
    ),
    "firewall": (
        "",
        "Get-NetFirewallProfile -PolicyStore ActiveStore|ForEach-Object{[pscustomobject]@{Name=$_.Name;"
        "Enabled=(''+$_.Enabled);Inbound=(''+$_.DefaultInboundAction);Outbound=(''+$_.DefaultOutboundAction)}}",
    ),
    "shares": (
        "",
        "Get-SmbShare|Where-Object{-not $_.Special}|ForEach-Object{$n=$_.Name;[pscustomobject]@{Name=$n;"
        "Path=$_.Path;Access=@(Get-SmbShareAccess -Name $n|ForEach-Object{$_.AccountName+' '+"
        "(''+$_.AccessControlType)+' '+(''+$_.AccessRight)})}}",
    ),
    "defender": (
        "",
        "Get-MpComputerStatus|ForEach-Object{[pscustomobject]@{Mode=$_.AMRunningMode;"
        "Antivirus=$_.AntivirusEnabled;RealTime=$_.RealTimeProtectionEnabled;"
        "Days=$_.AntivirusSignatureAge;Tamper=$_.IsTamperProtected;Engine=$_.AMEngineVersion}}",
    ),
    "antivirus": (
        "",
        "Get-CimInstance -Namespace root/SecurityCenter2 AntiVirusProduct|ForEach-Object{[pscustomobject]@{"
        "Name=$_.displayName;State=$_.productState}}",
    ),
    "disks": (
        "",
        "Get-PhysicalDisk|ForEach-Object{[pscustomobject]@{Name=$_.FriendlyName;Serial=$_.SerialNumber;"
        "Health=(''+$_.HealthStatus);Operational=@($_.OperationalStatus|ForEach-Object{''+$_})}}",
    ),
    "virtual-disks": (
        "",
        "Get-VirtualDisk|ForEach-Object{[pscustomobject]@{Name=$_.FriendlyName;Health=(''+$_.HealthStatus)}}",
    ),
}


def system_folder() -> str:
    """`C:\\Windows`, wherever Windows is."""
    return os.environ.get("SYSTEMROOT", r"C:\Windows")


def powershell(question: str) -> list[str]:
    """The command that asks a question. Its rows come as one JSON list, also when there is one or none."""
    before, pipeline = QUESTIONS[question]
    answer = f"[Console]::Out.Write((ConvertTo-Json -Compress -Depth 4 -InputObject @({pipeline})))"
    text = f"{_BEFORE}try{{{before}{answer}}}catch{{{_FAILED}}}"
    program = rf"{system_folder()}\System32\WindowsPowerShell\v1.0\powershell.exe"
    return [program, "-NoLogo", "-NoProfile", "-NonInteractive", "-Command", text]


def ask(view: View, question: str, *, timeout_s: float = ASK_S) -> list[dict[str, Any]]:
    """The rows of an answer. Raises NotHere without PowerShell or without what is asked for on this Windows,
    OSError when it failed, ValueError when it answered no JSON."""
    try:
        output = view.run(powershell(question), timeout_s=timeout_s)
    except OSError as error:
        if _is_missing(str(error)):
            raise NotHere(f"this Windows cannot be asked for its {question}") from error
        raise OSError(f"{question}: {error}") from error
    return to_rows(output, of=question)


def _is_missing(said: str) -> bool:
    """Whether PowerShell says, in whatever language, that there is no such command, class or namespace."""
    marks = ("CommandNotFoundException", "HRESULT 0x8004100e", "HRESULT 0x80041010", "InvalidNamespace")
    return any(mark.lower() in said.lower() for mark in marks)


def events(view: View, channel: str, query: str, *, newest: bool = False, most: int = EVENTS_A_LOOK) -> str:
    """Events of a channel that an XPath query selects, oldest first (or the newest), as XML elements.

    Raises NotHere without that channel, OSError.
    """
    try:
        output = view.run(
            read_events(channel, query, newest=newest, most=most), most_bytes=EVENTS_BYTES, cut=True
        )
    except OSError as error:
        if f"status {NO_SUCH_CHANNEL}" in str(error):
            raise NotHere(f"there is no event log {channel}") from error
        raise
    return to_text(output)


def read_events(channel: str, query: str, *, newest: bool, most: int) -> Sequence[str]:
    """The command that reads a channel. Raises ValueError for a name that cannot be a channel's."""
    if not re.fullmatch(r"[\w ()+./ -]{1,200}", channel) or channel.startswith(("-", "/")):
        raise ValueError(f"{channel!r} is not the name of an event log")
    return [
        rf"{system_folder()}\System32\wevtutil.exe",
        "query-events",
        channel,
        f"/query:{query}",
        f"/count:{most}",
        f"/reversedirection:{'true' if newest else 'false'}",
        "/format:RenderedXml",
        "/unicode:true",
    ]


def close_directory(directory: str) -> Sequence[str]:
    """The command that leaves a directory to the system, administrators and its owner, by their SIDs: what
    is below ProgramData is for everybody to read otherwise. Raises ValueError for a relative name."""
    if not re.match(r"[A-Za-z]:[\\/]|\\\\", directory):
        raise ValueError(f"{directory!r} is not a whole path")
    tool = rf"{system_folder()}\System32\icacls.exe"
    full = [f"*{sid}:(OI)(CI)F" for sid in ("S-1-5-18", "S-1-5-32-544", "S-1-3-4")]
    return [tool, directory, "/inheritance:r", "/grant:r", *full, "/quiet"]


def time_source() -> Sequence[str]:
    """The command that names the time server in use."""
    return [rf"{system_folder()}\System32\w32tm.exe", "/query", "/source"]


def time_compare(server: str) -> Sequence[str]:
    """The command that compares the clock with a server's. Raises ValueError for what is no host's name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,252}", server):
        raise ValueError(f"{server!r} is no host's name")
    tool = rf"{system_folder()}\System32\w32tm.exe"
    return [tool, "/stripchart", f"/computer:{server}", "/samples:1", "/dataonly"]
