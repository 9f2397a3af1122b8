"""The sentences of the program's errors in Simplified Chinese: a pattern of the English one, and what to say.

The patterns hold on to the words that carry the meaning, so that a polished English sentence is still recognised. What
no pattern fits is shown in English.
"""

from __future__ import annotations

import re

_SENTENCES: tuple[tuple[str, str], ...] = (
    # pictures
    (r"No picture was given.*", "没有收到图片：请通过 image 上传图片文件。"),
    # settings
    (r"Unknown preset “(.*)”; choose from (.+)\.", "没有名为“{0}”的预设；可选：{1}。"),
    (r"The preset (\S+) is not ready in this version.*", "预设 {0} 在此版本中尚未就绪；请先使用 gentle。"),
    (r"The preset (\S+) needs a new preview.*", "预设 {0} 需要重新预览。"),
    (
        r"(\w+) takes a (?:whole )?number(?: of pixels)? from ([\d.]+) to ([\d.]+), not (.+)\.",
        "{0} 的取值范围是 {1} 到 {2}，不能是 {3}。",
    ),
    (r"(\w+) has no value.*", "{0} 没有数值；请设置，或重新选择预设。"),
    # weights
    (r"The weights are not here yet; fetch them with `(.+)`\.", "权重尚未下载；请运行 `{0}`。"),
    (
        r"The weights of (\S+) are not on this computer and could not be fetched\..* put the file (\S+) in (.+)\.",
        "{0} 的权重不在这台电脑上，也无法下载。联网后请运行 `python -m weights fetch {0}`，或将文件 {1} 放入 {2}。",
    ),
    (
        r"The network gave values that are not numbers.*",
        "网络给出了无效数值；请用 `python -m weights verify` 检查权重。",
    ),
    # memory, disk, tasks
    (r"There is too little free memory.*", "可用内存不足，连最小的分块也无法处理；请关闭其他程序或缩小图片。"),
    (r"(.+) cannot be written because the disk is full.*", "磁盘已满，无法写入 {0}：请清理空间后重试。"),
    (
        r"The disk of (.+) has ([\d.]+) GB free, and this picture needs ([\d.]+) GB.*",
        "{0} 所在磁盘剩余 {1} GB，此图片需要 {2} GB：请清理空间。",
    ),
    (r"(.+) cannot be written to (.+?)(?:,| \().*", "无法将 {0} 写入 {1}：请检查权限或换一个文件夹。"),
    (r"There is no task of yours.*", "没有属于您的这个任务编号；请使用您自己运行结果中的 task_id。"),
    (r"There is no such result any more.*", "该结果已不存在；请重新处理图片。"),
    (r"The (?:network's|kept) output of that task is .*", "该任务的网络输出已不再保留；请重新处理图片。"),
    (r"Stopped.*nothing was written\.", "已停止，没有写入任何文件。"),
)

_PATTERNS = [(re.compile(pattern, re.DOTALL), chinese) for pattern, chinese in _SENTENCES]


def in_chinese(message: str) -> str:
    """The Chinese sentence for an English one, or the English one where nothing fits."""
    for pattern, chinese in _PATTERNS:
        found = pattern.fullmatch(message)
        if found:
            return chinese.format(*found.groups())
    return message
